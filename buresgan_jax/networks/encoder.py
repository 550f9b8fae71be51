"""Networks from samples to z, and discriminators of pairs (z, sample): those of MDGAN and VEEGAN.

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
    """Dense layers and a linear one, without batch norm.

    Attributes:
        latent_dim: dimension of z.
        hidden: widths of the hidden layers.
        activation: after each of them.
        axis_name: accepted so that all networks are built alike; there is no batch norm to synchronize.
        dtype: dtype of the computation; parameters are float32. Default: the inputs' and parameters' common dtype.
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
    """A DCGAN generator reversed: 5x5 convolutions without bias, activation and batch norm, then a dense layer.

    Attributes:
        latent_dim: dimension of z.
        filters: channels after each convolution. All halve height and width but the last, which keeps them; the first
            is followed by tanh, the others by ReLU.
        use_bias: whether the dense layer has a bias.
        axis_name: axis of the devices over which batch norm is synchronized.
        dtype: dtype of the computation; parameters are float32. Default: the inputs' and parameters' common dtype.
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
    """Chooses the encoder for square images: `dcgan_generator(image_size, channels)` reversed.

    Args:
        image_size: height and width, as for `dcgan_generator`.
        channels: channels of the images, and of the first convolution's output.
        latent_dim: dimension of z.
        base_filters: as for `dcgan_generator`.
        **attributes: other attributes of `DCGANEncoder`.

    Returns:
        The `DCGANEncoder`, not yet initialized; as in the paper its dense layer has a bias unless images are 28x28.

    Raises:
        ValueError: the size is not supported.
    """
    inner = dcgan_generator(image_size, channels, base_filters=base_filters).filters[:0:-1]
    return DCGANEncoder(latent_dim, (channels, *inner), use_bias=image_size != 28, **attributes)


class MLPPairDiscriminator(nn.Module):
    """`MLPDiscriminator` of z and a point, one after the other; its attributes have the same meaning."""

    hidden: Sequence[int] = (128, 128)
    output_dim: int = 1
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, pair: tuple[jax.Array, jax.Array], *, train: bool) -> Discriminated:
        """Scores pairs of z `[batch, latent_dim]` and samples `[batch, ...]`, without further heads."""
        z, x = pair
        joined = jnp.concatenate([z, x.reshape(x.shape[0], -1)], axis=1)
        discriminator = MLPDiscriminator(self.hidden, self.output_dim, self.axis_name, self.dtype)
        return discriminator(joined, train=train)


class DCGANPairDiscriminator(DCGANDiscriminator):
    """The convolutions of `DCGANDiscriminator` on the image; z joins their features, and dense layers with ReLU follow.

    Attributes:
        hidden: widths of the dense layers; the last one is the dimension of the features.
    """

    hidden: Sequence[int] = (512, 512)

    @nn.compact
    def __call__(self, pair: tuple[jax.Array, jax.Array], *, train: bool) -> Discriminated:
        """Scores pairs of z `[batch, latent_dim]` and images; returns outputs, features, no further heads."""
        z, images = pair
        return _score_pair(self, z, convolve(self, images, train=train))


class ResNetPairDiscriminator(ResNetDiscriminator):
    """The blocks of `ResNetDiscriminator` on the image; z joins their features, and dense layers with ReLU follow.

    Attributes:
        hidden: widths of the dense layers; the last one is the dimension of the features.
    """

    hidden: Sequence[int] = (512, 512)

    @nn.compact
    def __call__(self, pair: tuple[jax.Array, jax.Array], *, train: bool) -> Discriminated:
        """Scores pairs of z `[batch, latent_dim]` and images; returns outputs, features, no further heads."""
        z, images = pair
        return _score_pair(self, z, residual_features(self, images))


def _score_pair(
    discriminator: DCGANPairDiscriminator | ResNetPairDiscriminator, z: jax.Array, of_image: jax.Array
) -> Discriminated:
    """The dense layers of a discriminator of pairs, created in its scope."""
    features = jnp.concatenate([z.astype(of_image.dtype), of_image], axis=1)
    for width in discriminator.hidden:
        features = nn.relu(Dense(width, dtype=discriminator.dtype)(features))
    outputs = Dense(discriminator.output_dim, dtype=discriminator.dtype)(features)
    return at_least_float32(outputs), at_least_float32(features), {}
