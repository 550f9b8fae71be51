"""Spectral normalization of any network's layers."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import ops
from buresgan_jax.networks.layers import Conv, ConvTranspose

_LAYERS = (nn.Dense, nn.Conv, nn.ConvTranspose, Conv, ConvTranspose)


class SpectralNormalization(nn.Module):
    """A network whose dense layers and convolutions are divided by their spectral norms; biases are as they were.

    One power iteration per move estimates each norm. Its vectors are the collection `spectral`, which a checkpoint
    keeps.

    Attributes:
        network: The network, called `(x, *, train)`.
        kind: `operator`: the norm of the layer as a map between images, with its strides, its padding and the size of
            its input (PICO). `kernel`: the norm of the kernel as a matrix `[height * width * channels_in,
            channels_out]`, which is smaller by a factor of up to `ceil(size / stride)`.
        multiplier: Every layer gets this norm. The whole network then has a Lipschitz constant of at most
            `multiplier**num_layers`, if its other layers have one of 1.
        warm_up: Power iterations before the first step.
    """

    network: nn.Module
    kind: str = "operator"
    multiplier: float = 1.0
    warm_up: int = 50

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Any:
        """Applies the network. In training the vectors advance by one iteration."""

        def normalize(next_call, args, kwargs, context):
            layer = context.module
            y = next_call(*args, **kwargs)
            is_own = isinstance(layer.parent, nn.Module)  # not the layer alone, as its operator
            if not is_own or not isinstance(layer, _LAYERS) or context.method_name != "__call__":
                return y
            factor = (self.multiplier / self._norm(layer, args[0], train=train)).astype(y.dtype)
            if not layer.use_bias:
                return y * factor
            bias = layer.variables["params"]["bias"].astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
            return (y - bias) * factor + bias

        with nn.intercept_methods(normalize):
            return self.network(x, train=train)

    @property
    def output_dim(self) -> int:
        """Dimension of the outputs."""
        return self.network.output_dim

    def _norm(self, layer, x, *, train):
        """The estimated norm of a layer; moves its vector on."""
        kernel, name = layer.variables["params"]["kernel"], ".".join(layer.path[len(self.path) :])
        operator, like = self._operator(layer, kernel, x)
        operator, like = ops.on_smaller_side(operator, like)
        if self.is_initializing():
            vector = jax.random.normal(self.make_rng("params"), like.shape, like.dtype)
            vector = vector / jnp.linalg.norm(vector.ravel())
            _, vector = ops.spectral_norm(operator, vector, num_iterations=self.warm_up)
            self.put_variable("spectral", name, vector)
        norm, following = ops.power_iteration(operator, self.get_variable("spectral", name))
        if train and not self.is_initializing():
            self.put_variable("spectral", name, following)
        return norm

    def _operator(self, layer, kernel, x):
        if self.kind == "kernel":
            matrix = kernel.reshape(-1, kernel.shape[-1])
            return lambda v: v @ matrix, jax.ShapeDtypeStruct(matrix.shape[:1], kernel.dtype)
        alone = layer.clone(use_bias=False, dtype=None, parent=None)

        def operator(v):
            return alone.apply({"params": {"kernel": kernel}}, v[None])[0]

        return operator, jax.ShapeDtypeStruct(x.shape[1:], kernel.dtype)
