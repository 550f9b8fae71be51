"""ResNets of the BuresGAN paper: 3x3 kernels, batch norm in the generator, layer norm in the discriminator.

Parameter counts at width 200 from 128 latent dimensions, three channels:

| images | generator | discriminator |
|---|---|---|
| 32x32 | 2,702,803 | 3,332,001 |
| 48x48 | 3,218,803 | 4,093,401 |
| 96x96 | 3,980,203 | 4,093,401 |

Differs from the authors' code in inference: their batch norm takes the statistics of the 100 images drawn together,
this one moving averages as in all networks here, so that an image depends on its `z` alone.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.networks.batch_norm import BatchNorm
from buresgan_jax.networks.layers import Conv, Dense, Discriminated, at_least_float32

# Per size of the images: the generator's after its dense layer, and how often the discriminator halves it.
_PLANS = {32: (4, 3), 48: (6, 4), 96: (6, 4)}
_EPS = 1e-5  # of both norms
# Of the 3x3 convolutions in blocks, which a ReLU precedes; shortcuts and the last convolution are Glorot-uniform.
_kernel_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class ResNetGenerator(nn.Module):
    """A dense layer, residual blocks that double the size, and a 3x3 convolution with tanh.

    Attributes:
        start_size: height and width after the dense layer.
        num_blocks: number of blocks; the images have height and width `start_size * 2**num_blocks`.
        width: channels everywhere but at the end.
        channels: channels of the images.
        axis_name: axis of the devices over which batch norm is synchronized.
        dtype: dtype of the computation; parameters are float32. Default: the inputs' and parameters' common dtype.
    """

    start_size: int
    num_blocks: int
    width: int = 200
    channels: int = 3
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
        """Maps latent samples to images.

        Args:
            z: latent samples, shape `[batch, latent_dim]`.
            train: whether batch norm uses the batch's statistics and updates the moving ones (`batch_stats`).

        Returns:
            Images in [-1, 1], shape `[batch, size, size, channels]`, at least float32.
        """
        norm = functools.partial(BatchNorm, train=train, axis_name=self.axis_name, eps=_EPS, dtype=self.dtype)
        conv = _conv(self.width, self.dtype)
        x = Dense(self.start_size**2 * self.width, dtype=self.dtype)(z)
        x = x.reshape(-1, self.start_size, self.start_size, self.width)
        for _ in range(self.num_blocks):
            # Nearest neighbors after a 1x1 convolution equal those before it, at a quarter of the cost.
            shortcut = _double(_pointwise(self.width, self.dtype)(x))
            x = conv()(_double(nn.relu(norm()(x))))
            x = shortcut + conv()(nn.relu(norm()(x)))
        x = Conv(self.channels, (3, 3), dtype=self.dtype)(nn.relu(norm()(x)))
        return nn.tanh(at_least_float32(x))


class ResNetDiscriminator(nn.Module):
    """Residual blocks that halve the size, two that keep it, a mean over the pixels and a dense layer.

    Layer norm is over height, width and channels of an image, with scale and offset per channel; the first block has
    none.

    Attributes:
        num_halvings: number of blocks that halve height and width.
        width: channels everywhere, and the dimension of the features.
        output_dim: dimension of the outputs; 1 for a logit.
        axis_name: accepted so that all networks are built alike; there is no batch norm to synchronize.
        dtype: dtype of the computation; parameters are float32. Default: the inputs' and parameters' common dtype.
    """

    num_halvings: int
    width: int = 200
    output_dim: int = 1
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Discriminated:
        """Scores images.

        Args:
            x: images, shape `[batch, height, width, channels]`, height and width divisible by `2**num_halvings`.
            train: accepted so that all networks are called alike; it changes nothing here.

        Returns:
            Outputs, shape `[batch, output_dim]`, and features (the mean over the pixels of the last feature map, at
            least 0), shape `[batch, width]`, both at least float32; no further heads.
        """
        features = residual_features(self, x)
        outputs = Dense(self.output_dim, dtype=self.dtype)(features)
        return at_least_float32(outputs), features, {}


def residual_features(discriminator: ResNetDiscriminator, x: jax.Array) -> jax.Array:
    """The blocks of a discriminator, created in its scope, and the mean over the pixels: shape `[batch, width]`."""
    width, dtype = discriminator.width, discriminator.dtype
    norm = functools.partial(nn.LayerNorm, epsilon=_EPS, reduction_axes=(1, 2, 3), feature_axes=-1, dtype=dtype)
    conv, pointwise = _conv(width, dtype), functools.partial(_pointwise, width, dtype)
    shortcut = pointwise()(_halve(x))
    x = conv()(x)
    x = shortcut + _halve(conv()(nn.relu(x)))
    for _ in range(discriminator.num_halvings - 1):
        shortcut = pointwise()(_halve(x))  # equals the mean after the 1x1 convolution, at a quarter of the cost
        x = conv()(nn.relu(norm()(x)))
        x = shortcut + _halve(conv()(nn.relu(norm()(x))))
    for _ in range(2):
        residual = conv()(nn.relu(norm()(x)))
        x = x + conv()(nn.relu(norm()(residual)))
    return at_least_float32(nn.relu(x)).mean((1, 2))


def resnet_generator(
    image_size: int, channels: int, *, width: int = 200, axis_name: str | None = None, dtype: Any = None
) -> ResNetGenerator:
    """Chooses the generator for square images.

    Args:
        image_size: height and width: 32, 48 or 96.
        channels: channels of the images.
        width: see `ResNetGenerator`; 200 in the paper.
        axis_name: see `ResNetGenerator`.
        dtype: see `ResNetGenerator`.

    Returns:
        The generator, not yet initialized.

    Raises:
        ValueError: the size is not supported.
    """
    start_size, _ = _plan(image_size)
    num_blocks = (image_size // start_size).bit_length() - 1
    return ResNetGenerator(start_size, num_blocks, width, channels, axis_name, dtype)


def resnet_discriminator(
    image_size: int, *, kind: type[ResNetDiscriminator] = ResNetDiscriminator, **attributes: Any
) -> ResNetDiscriminator:
    """Chooses the discriminator that goes with `resnet_generator(image_size, ...)`.

    Args:
        image_size: height and width of the images: 32, 48 or 96.
        kind: its class, such as `ResNetPairDiscriminator`.
        **attributes: its other attributes.

    Returns:
        The discriminator, not yet initialized. Its last feature map is 4x4, 3x3 or 6x6.

    Raises:
        ValueError: the size is not supported.
    """
    _, num_halvings = _plan(image_size)
    return kind(num_halvings=num_halvings, **attributes)


def _plan(image_size: int) -> tuple[int, int]:
    if image_size not in _PLANS:
        raise ValueError(
            f"ResNets do not support images of {image_size}x{image_size}. Allowed: {', '.join(map(str, _PLANS))}. "
            "Resize the images, or use a DCGAN."
        )
    return _PLANS[image_size]


def _conv(width: int, dtype: Any) -> Any:
    return functools.partial(Conv, width, (3, 3), dtype=dtype, kernel_init=_kernel_init)


def _pointwise(width: int, dtype: Any) -> Conv:
    return Conv(width, (1, 1), dtype=dtype)


def _double(x: jax.Array) -> jax.Array:
    """Doubles height and width, nearest neighbors."""
    batch, height, width, channels = x.shape
    repeated = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return repeated.reshape(batch, 2 * height, 2 * width, channels)


def _halve(x: jax.Array) -> jax.Array:
    """Halves height and width, means of 2x2 pixels."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


WIDTH = Option("width", 200, "channels of the residual blocks", least=1, smoke=4)


@declarations.generator("resnet", "residual blocks, for images of 32, 48 or 96 pixels", WIDTH, data="images")
def generator_resnet(example_shape, *, axis_name, dtype, width):
    """`resnet_generator` for square images."""
    size, _, channels = example_shape
    return resnet_generator(size, channels, width=width, axis_name=axis_name, dtype=dtype)
