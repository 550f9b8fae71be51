"""The ResNets of the BuresGAN paper: 3x3 kernels, batch norm in the generator, layer norm in the discriminator.

Parameter counts at width 200 from 128 latent dimensions, three channels:

| images | generator | discriminator |
|---|---|---|
| 32x32 | 2,702,803 | 3,332,001 |
| 48x48 | 3,218,803 | 4,093,401 |
| 96x96 | 3,980,203 | 4,093,401 |

Inference differs from the authors' code. Their batch norm uses the statistics of the 100 images drawn together. This
one uses moving averages, like all networks here, so an image depends only on its `z`.
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

# By image size: the generator's size after its dense layer, and the discriminator's number of halvings.
_PLANS = {32: (4, 3), 48: (6, 4), 96: (6, 4)}
_EPS = 1e-5  # for batch norm and layer norm
# For the 3x3 convolutions in blocks, which follow a ReLU. Shortcuts and the last convolution are Glorot-uniform.
_kernel_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")


class ResNetGenerator(nn.Module):
    """A dense layer, residual blocks that double the size, and a 3x3 convolution with tanh.

    Attributes:
        start_size: Height and width after the dense layer.
        num_blocks: Number of blocks. The images have height and width `start_size * 2**num_blocks`.
        width: Channels of all layers except the last.
        channels: Channels of the images.
        axis_name: Name of the device axis over which batch norm is synchronized.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
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
            z: Latent samples, shape `[batch, latent_dim]`.
            train: Whether batch norm uses the batch's statistics and updates the moving ones (`batch_stats`).

        Returns:
            Images in [-1, 1], shape `[batch, size, size, channels]`, at least float32.
        """
        norm = functools.partial(BatchNorm, train=train, axis_name=self.axis_name, eps=_EPS, dtype=self.dtype)
        conv = _conv(self.width, self.dtype)
        x = Dense(self.start_size**2 * self.width, dtype=self.dtype)(z)
        x = x.reshape(-1, self.start_size, self.start_size, self.width)
        for _ in range(self.num_blocks):
            # Upsampling after the 1x1 convolution gives the same result as before it, at a quarter of the cost.
            shortcut = _double(_pointwise(self.width, self.dtype)(x))
            x = conv()(_double(nn.relu(norm()(x))))
            x = shortcut + conv()(nn.relu(norm()(x)))
        x = Conv(self.channels, (3, 3), dtype=self.dtype)(nn.relu(norm()(x)))
        return nn.tanh(at_least_float32(x))


class ResNetDiscriminator(nn.Module):
    """Residual blocks that halve the size, two blocks that keep it, a mean over the pixels and a dense layer.

    Layer norm is over height, width and channels of an image, with scale and offset per channel. The first block has
    no layer norm.

    Attributes:
        num_halvings: Number of blocks that halve height and width.
        width: Channels of all layers, and dimension of the features.
        output_dim: Dimension of the outputs; 1 for a logit.
        axis_name: Accepted for the common interface of networks; there is no batch norm to synchronize.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
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
            x: Images, shape `[batch, height, width, channels]`, height and width divisible by `2**num_halvings`.
            train: Accepted for the common interface of networks; not used.

        Returns:
            Outputs, shape `[batch, output_dim]`, and features (the mean over the pixels of the last feature map, at
            least 0), shape `[batch, width]`, both at least float32; no further heads.
        """
        features = residual_features(self, x)
        outputs = Dense(self.output_dim, dtype=self.dtype)(features)
        return at_least_float32(outputs), features, {}


def residual_features(discriminator: ResNetDiscriminator, x: jax.Array) -> jax.Array:
    """Applies the blocks of a discriminator, created in its scope, and averages over the pixels: `[batch, width]`."""
    width, dtype = discriminator.width, discriminator.dtype
    norm = functools.partial(nn.LayerNorm, epsilon=_EPS, reduction_axes=(1, 2, 3), feature_axes=-1, dtype=dtype)
    conv, pointwise = _conv(width, dtype), functools.partial(_pointwise, width, dtype)
    shortcut = pointwise()(_halve(x))
    x = conv()(x)
    x = shortcut + _halve(conv()(nn.relu(x)))
    for _ in range(discriminator.num_halvings - 1):
        shortcut = pointwise()(_halve(x))  # equals halving after the 1x1 convolution, at a quarter of the cost
        x = conv()(nn.relu(norm()(x)))
        x = shortcut + _halve(conv()(nn.relu(norm()(x))))
    for _ in range(2):
        residual = conv()(nn.relu(norm()(x)))
        x = x + conv()(nn.relu(norm()(residual)))
    return at_least_float32(nn.relu(x)).mean((1, 2))


def resnet_generator(
    image_size: int, channels: int, *, width: int = 200, axis_name: str | None = None, dtype: Any = None
) -> ResNetGenerator:
    """Builds the generator for square images.

    Args:
        image_size: Height and width: 32, 48 or 96.
        channels: Channels of the images.
        width: See `ResNetGenerator`. The paper uses 200.
        axis_name: See `ResNetGenerator`.
        dtype: See `ResNetGenerator`.

    Returns:
        The generator, not yet initialized.

    Raises:
        ValueError: The size is not supported.
    """
    start_size, _ = _plan(image_size)
    num_blocks = (image_size // start_size).bit_length() - 1
    return ResNetGenerator(start_size, num_blocks, width, channels, axis_name, dtype)


def resnet_discriminator(
    image_size: int, *, kind: type[ResNetDiscriminator] = ResNetDiscriminator, **attributes: Any
) -> ResNetDiscriminator:
    """Builds the discriminator for the images of `resnet_generator(image_size, ...)`.

    Args:
        image_size: Height and width of the images: 32, 48 or 96.
        kind: The discriminator's class, such as `ResNetPairDiscriminator`.
        **attributes: Other attributes of that class.

    Returns:
        The discriminator, not yet initialized. Its last feature map is 4x4, 3x3 or 6x6.

    Raises:
        ValueError: The size is not supported.
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
    """Doubles height and width by nearest neighbors."""
    batch, height, width, channels = x.shape
    repeated = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return repeated.reshape(batch, 2 * height, 2 * width, channels)


def _halve(x: jax.Array) -> jax.Array:
    """Halves height and width by means over 2x2 pixels."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


WIDTH = Option("width", 200, "channels of the residual blocks", least=1, smoke=4)


@declarations.generator("resnet", "residual blocks, for images of 32, 48 or 96 pixels", WIDTH, data="images")
def generator_resnet(example_shape, *, axis_name, dtype, width):
    """Builds `resnet_generator` for the example's shape."""
    size, _, channels = example_shape
    return resnet_generator(size, channels, width=width, axis_name=axis_name, dtype=dtype)
