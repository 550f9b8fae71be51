"""Fully connected networks for two-dimensional data (ring, grid), with tanh and without batch norm."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.networks.layers import Dense, Discriminated, at_least_float32


class MLPGenerator(nn.Module):
    """Dense layers with tanh, then a linear layer: 49,666 parameters from 256 latent dimensions.

    Attributes:
        output_dim: Dimension of a sample.
        hidden: Widths of the hidden layers.
        axis_name: Accepted for the common interface of networks; there is no batch norm to synchronize.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    output_dim: int = 2
    hidden: Sequence[int] = (128, 128)
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
        """Maps latent samples to data samples.

        Args:
            z: Latent samples, shape `[batch, latent_dim]`.
            train: Accepted for the common interface of networks; not used.

        Returns:
            Samples, shape `[batch, output_dim]`, at least float32.
        """
        for width in self.hidden:
            z = nn.tanh(Dense(width, dtype=self.dtype)(z))
        return at_least_float32(Dense(self.output_dim, dtype=self.dtype)(z))


class MLPDiscriminator(nn.Module):
    """Dense layers with tanh, then a linear layer: 17,025 parameters from 2 input dimensions.

    Attributes:
        hidden: Widths of the hidden layers; the last one is the dimension of the features.
        output_dim: Dimension of the outputs; 1 for a logit.
        axis_name: Accepted for the common interface of networks; there is no batch norm to synchronize.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    hidden: Sequence[int] = (128, 128)
    output_dim: int = 1
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Discriminated:
        """Scores samples.

        Args:
            x: Samples, shape `[batch, ...]`; each is flattened.
            train: Accepted for the common interface of networks; not used.

        Returns:
            Outputs, shape `[batch, output_dim]`, and features (the last hidden layer, within [-1, 1]), shape
            `[batch, hidden[-1]]`, both at least float32; no further heads.
        """
        features = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            features = nn.tanh(Dense(width, dtype=self.dtype)(features))
        outputs = Dense(self.output_dim, dtype=self.dtype)(features)
        return at_least_float32(outputs), at_least_float32(features), {}


HIDDEN = Option("hidden", (128, 128), "widths of the hidden layers", least=1, smoke=(8, 8))


@declarations.generator("mlp", "fully connected, for points", HIDDEN, data="points")
def generator_mlp(example_shape, *, axis_name, dtype, hidden):
    """Builds `MLPGenerator` for points."""
    return MLPGenerator(example_shape[0], hidden, axis_name, dtype)
