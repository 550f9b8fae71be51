"""Encoders from samples to z, and discriminators of pairs (z, sample), for MDGAN and VEEGAN.

Parameter counts for the paper's networks (256 latent dimensions for points, 100 for images, three channels):

| | points | 28x28 | 32x32 | 96x96 |
|---|---|---|---|---|
| MDGAN encoder | 33,408 | 837,415 | 1,029,515 | 4,716,427 |
| VEEGAN reconstructor | 49,920 | 330,596 | 422,756 | 3,568,484 |
| VEEGAN discriminator | 49,793 | 3,442,049 (variant "veegan": 5,671,809) | 3,442,049 | 14,060,417 |
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax.networks.batch_norm import BatchNorm
from buresgan_jax.networks.dcgan import DCGANDiscriminator, convolve, dcgan_generator
from buresgan_jax.networks.layers import Conv, Dense, Discriminated, at_least_float32
from buresgan_jax.networks.mlp import MLPDiscriminator
from buresgan_jax.networks.resnet import ResNetDiscriminator, residual_features


class MLPEncoder(nn.Module):
    """Dense layers and a linear layer, without batch norm.

    Attributes:
        latent_dim: Dimension of z.
        hidden: Widths of the hidden layers.
        activation: Activation after each hidden layer.
        axis_name: Accepted for the common interface of networks; there is no batch norm to synchronize.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    latent_dim: int
    hidden: Sequence[int] = (128,)
    activation: Callable[[jax.Array], jax.Array] = nn.tanh
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps samples `[batch, ...]`, each flattened, to z `[batch, latent_dim]`, at least float32."""
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = self.activation(Dense(width, dtype=self.dtype)(x))
        return at_least_float32(Dense(self.latent_dim, dtype=self.dtype)(x))


class DCGANEncoder(nn.Module):
    """A reversed DCGAN generator: 5x5 convolutions without bias, with activation and batch norm, and a dense layer.

    Attributes:
        latent_dim: Dimension of z.
        filters: Channels after each convolution. The last convolution keeps height and width, all others halve them.
            The first is followed by tanh, all others by ReLU.
        use_bias: Whether the dense layer has a bias.
        axis_name: Name of the device axis over which batch norm is synchronized.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    latent_dim: int
    filters: Sequence[int]
    use_bias: bool = True
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps images `[batch, height, width, channels]` to z `[batch, latent_dim]`, at least float32."""
        for layer, filters in enumerate(self.filters):
            stride = 1 if layer == len(self.filters) - 1 else 2
            x = Conv(filters, strides=(stride, stride), use_bias=False, dtype=self.dtype)(x)
            x = nn.tanh(x) if layer == 0 else nn.relu(x)
            x = BatchNorm(train=train, axis_name=self.axis_name, dtype=self.dtype)(x)
        x = x.reshape(x.shape[0], -1)
        return at_least_float32(Dense(self.latent_dim, use_bias=self.use_bias, dtype=self.dtype)(x))


def dcgan_encoder(image_size: int, channels: int, latent_dim: int, *, base_filters: int = 64, **attributes: Any):
    """Builds the encoder for square images, the reverse of `dcgan_generator(image_size, channels)`.

    Args:
        image_size: Height and width, as for `dcgan_generator`.
        channels: Channels of the images, and of the first convolution's output.
        latent_dim: Dimension of z.
        base_filters: See `dcgan_generator`.
        **attributes: Other attributes of `DCGANEncoder`.

    Returns:
        The `DCGANEncoder`, not yet initialized. As in the paper, its dense layer has a bias except for 28x28 images.

    Raises:
        ValueError: The size is not supported.
    """
    inner = dcgan_generator(image_size, channels, base_filters=base_filters).filters[:0:-1]
    return DCGANEncoder(latent_dim, (channels, *inner), use_bias=image_size != 28, **attributes)


class MLPPairDiscriminator(nn.Module):
    """`MLPDiscriminator` of the concatenation of z and a point, with the same attributes."""

    hidden: Sequence[int] = (128, 128)
    output_dim: int = 1
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, pair: tuple[jax.Array, jax.Array], *, train: bool) -> Discriminated:
        """Scores pairs of z `[batch, latent_dim]` and samples `[batch, ...]`; returns outputs, features, no heads."""
        z, x = pair
        joined = jnp.concatenate([z, x.reshape(x.shape[0], -1)], axis=1)
        discriminator = MLPDiscriminator(self.hidden, self.output_dim, self.axis_name, self.dtype)
        return discriminator(joined, train=train)


class DCGANPairDiscriminator(DCGANDiscriminator):
    """The convolutions of `DCGANDiscriminator`; dense layers with ReLU follow on z and the image's features.

    Attributes:
        hidden: Widths of the dense layers; the last one is the dimension of the features.
    """

    hidden: Sequence[int] = (512, 512)

    @nn.compact
    def __call__(self, pair: tuple[jax.Array, jax.Array], *, train: bool) -> Discriminated:
        """Scores pairs of z `[batch, latent_dim]` and images; returns outputs, features, no heads."""
        z, images = pair
        return _score_pair(self, z, convolve(self, images, train=train))


class ResNetPairDiscriminator(ResNetDiscriminator):
    """The blocks of `ResNetDiscriminator`; dense layers with ReLU follow on z and the image's features.

    Attributes:
        hidden: Widths of the dense layers; the last one is the dimension of the features.
    """

    hidden: Sequence[int] = (512, 512)

    @nn.compact
    def __call__(self, pair: tuple[jax.Array, jax.Array], *, train: bool) -> Discriminated:
        """Scores pairs of z `[batch, latent_dim]` and images; returns outputs, features, no heads."""
        z, images = pair
        return _score_pair(self, z, residual_features(self, images))


def _score_pair(
    discriminator: DCGANPairDiscriminator | ResNetPairDiscriminator, z: jax.Array, of_image: jax.Array
) -> Discriminated:
    """Applies the dense layers of a discriminator of pairs, created in its scope."""
    features = jnp.concatenate([z.astype(of_image.dtype), of_image], axis=1)
    for width in discriminator.hidden:
        features = nn.relu(Dense(width, dtype=discriminator.dtype)(features))
    outputs = Dense(discriminator.output_dim, dtype=discriminator.dtype)(features)
    return at_least_float32(outputs), at_least_float32(features), {}
