"""Linen layers with the conventions of Keras, the framework of the reference networks.

Kernels are Glorot-uniform (Linen's default is LeCun-normal) and biases are zero. LeakyReLU has slope 0.3 (Linen: 0.01).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax.ops import Padding, conv2d, conv_transpose2d

# The results of every discriminator: outputs, features, and further heads by name.
Discriminated = tuple[jax.Array, jax.Array, dict[str, jax.Array]]

_kernel_init = nn.initializers.glorot_uniform()
_bias_init = nn.initializers.zeros_init()


def at_least_float32(x: jax.Array) -> jax.Array:
    """Casts half-precision network outputs to float32, so that losses and distances are not computed in bfloat16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def leaky_relu(x: jax.Array) -> jax.Array:
    """Applies LeakyReLU with slope 0.3, as in Keras."""
    return nn.leaky_relu(x, negative_slope=0.3)


def Dense(features: int, *, use_bias: bool = True, dtype: Any = None) -> nn.Dense:
    """Returns a dense layer with a Glorot-uniform kernel."""
    return nn.Dense(features, use_bias=use_bias, dtype=dtype, kernel_init=_kernel_init)


class Conv(nn.Module):
    """A convolution of images: `conv2d` with a kernel and a bias.

    Attributes:
        features: Number of output channels.
        kernel_size: Height and width of the kernel.
        strides: Steps of the window along height and width.
        padding: "SAME", "VALID" or `((top, bottom), (left, right))`.
        use_bias: Whether to add a bias per channel.
        dtype: Dtype of the computation. Parameters are float32.
        kernel_init: Initializer of the kernel. Default: Glorot-uniform.
        bias_init: Initializer of the bias. Default: zero.
    """

    features: int
    kernel_size: Sequence[int] = (5, 5)
    strides: Sequence[int] = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable[..., jax.Array] = _kernel_init
    bias_init: Callable[..., jax.Array] = _bias_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images `[batch, height, width, channels]` to `[batch, new_height, new_width, features]`."""
        return _apply(self, conv2d, x)


class ConvTranspose(nn.Module):
    """A transposed convolution of images: `conv_transpose2d` with a kernel and a bias.

    Attributes:
        features: Number of output channels.
        kernel_size: Height and width of the kernel.
        strides: Factors by which height and width grow.
        padding: "SAME", "VALID" or `((top, bottom), (left, right))`, for the dilated input.
        use_bias: Whether to add a bias per channel.
        dtype: Dtype of the computation. Parameters are float32.
        kernel_init: Initializer of the kernel. Default: Glorot-uniform.
        bias_init: Initializer of the bias. Default: zero.
    """

    features: int
    kernel_size: Sequence[int] = (5, 5)
    strides: Sequence[int] = (1, 1)
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable[..., jax.Array] = _kernel_init
    bias_init: Callable[..., jax.Array] = _bias_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images `[batch, height, width, channels]` to `[batch, new_height, new_width, features]`."""
        return _apply(self, conv_transpose2d, x)


def _apply(layer: Conv | ConvTranspose, convolution: Any, x: jax.Array) -> jax.Array:
    """Creates the layer's parameters and applies them."""
    kernel = layer.param("kernel", layer.kernel_init, (*layer.kernel_size, x.shape[-1], layer.features), jnp.float32)
    bias = layer.param("bias", layer.bias_init, (layer.features,), jnp.float32) if layer.use_bias else None
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=layer.dtype)
    y = convolution(x, kernel, strides=layer.strides, padding=layer.padding)
    return y if bias is None else y + bias.reshape(1, 1, 1, -1)
