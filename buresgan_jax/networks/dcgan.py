"""DCGAN generators and discriminators of the BuresGAN paper: 5x5 kernels, batch norm after the activation.

Parameter counts from 100 latent dimensions, three channels:

| images | generator | discriminator | without batch norm |
|---|---|---|---|
| 28x28, variant "dcgan" | 2,308,672 | 1,034,113 | 1,033,345 |
| 28x28, variant "veegan" | 4,517,891 | 4,310,401 | 4,308,609 |
| 32x32 | 2,700,352 | 1,034,113 | 1,033,345 |
| 96x96 | 6,428,224 | 4,326,785 | 4,324,993 |

Other sizes follow the same rule: `start * 2**k` with `start` from 7 to 13.
"""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.networks.batch_norm import BatchNorm
from buresgan_jax.networks.layers import Conv, ConvTranspose, Dense, Discriminated, at_least_float32, leaky_relu

_VARIANTS = ("dcgan", "veegan")
_SMALLEST_START, _LARGEST_START = 7, 13


class DCGANGenerator(nn.Module):
    """A dense layer and 5x5 transposed convolutions, with ReLU and batch norm between them and tanh at the end.

    Attributes:
        sizes: Height and width after the dense layer and after each transposed convolution. A convolution keeps the
            size s or changes it to 2s or to 2s - 1 (output padding 0 in PyTorch and Keras).
        filters: Channels after the dense layer and after each transposed convolution except the last.
        channels: Channels of the images.
        use_bias: Whether the dense layer and the convolutions have biases.
        axis_name: Name of the device axis over which batch norm is synchronized.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    sizes: Sequence[int]
    filters: Sequence[int]
    channels: int = 3
    use_bias: bool = False
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
        """Maps latent samples to images.

        Args:
            z: Latent samples, shape `[batch, latent_dim]`.
            train: Whether batch norm uses the batch's statistics and updates the moving ones (`batch_stats`).

        Returns:
            Images in [-1, 1], shape `[batch, sizes[-1], sizes[-1], channels]`, at least float32.

        Raises:
            ValueError: The lengths of `sizes` and `filters` do not match, or a convolution cannot produce a size.
        """
        if len(self.sizes) != len(self.filters) + 1:
            raise ValueError(
                f"A DCGAN generator needs one size more than filters; got sizes {tuple(self.sizes)}, "
                f"filters {tuple(self.filters)}."
            )

        def activate(x):
            return BatchNorm(train=train, axis_name=self.axis_name, dtype=self.dtype)(nn.relu(x))

        def enlarge(x, filters, new_size):
            options = _enlargement(x.shape[1], new_size)
            return ConvTranspose(filters, use_bias=self.use_bias, dtype=self.dtype, **options)(x)

        start, *sizes = self.sizes
        x = activate(Dense(start * start * self.filters[0], use_bias=self.use_bias, dtype=self.dtype)(z))
        x = x.reshape(-1, start, start, self.filters[0])
        for filters, size in zip(self.filters[1:], sizes[:-1], strict=True):
            x = activate(enlarge(x, filters, size))
        return nn.tanh(at_least_float32(enlarge(x, self.channels, sizes[-1])))


class DCGANDiscriminator(nn.Module):
    """5x5 convolutions of stride 2 with LeakyReLU, batch norm after all except the first, and a dense layer.

    Attributes:
        num_layers: Number of convolutions. Each halves height and width, rounding up.
        base_filters: Channels after the first convolution. Each further convolution doubles them.
        output_dim: Dimension of the outputs; 1 for a logit.
        use_batch_norm: Whether to use batch norm. WGAN-GP and Unrolled GAN do not.
        axis_name: Name of the device axis over which batch norm is synchronized.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    num_layers: int = 3
    base_filters: int = 64
    output_dim: int = 1
    use_batch_norm: bool = True
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Discriminated:
        """Scores images.

        Args:
            x: Images, shape `[batch, height, width, channels]`, any size.
            train: Whether batch norm uses the batch's statistics and updates the moving ones (`batch_stats`).

        Returns:
            Outputs, shape `[batch, output_dim]`, and features (the flattened last convolution), shape `[batch, dim]`,
            both at least float32; no further heads.
        """
        features = convolve(self, x, train=train)
        outputs = Dense(self.output_dim, dtype=self.dtype)(features)
        return at_least_float32(outputs), at_least_float32(features), {}


def convolve(discriminator: DCGANDiscriminator, x: jax.Array, *, train: bool) -> jax.Array:
    """Applies a discriminator's convolutions, created in its scope; returns the flattened result `[batch, dim]`."""
    dtype = discriminator.dtype
    for layer in range(discriminator.num_layers):
        x = leaky_relu(Conv(discriminator.base_filters * 2**layer, strides=(2, 2), dtype=dtype)(x))
        if layer > 0 and discriminator.use_batch_norm:
            x = BatchNorm(train=train, axis_name=discriminator.axis_name, dtype=dtype)(x)
    return x.reshape(x.shape[0], -1)


def dcgan_generator(
    image_size: int,
    channels: int,
    *,
    variant: str = "dcgan",
    base_filters: int = 64,
    axis_name: str | None = None,
    dtype: Any = None,
) -> DCGANGenerator:
    """Builds the generator for square images.

    The paper uses the sizes 28, 32 and 96. Other sizes, such as 64 (CelebA), follow the same rule.

    Args:
        image_size: Height and width, `start * 2**k` with `start` from 7 to 13 and `k` at least 1: 14, 16, 18, 20, 22,
            24, 26, 28, 32, ..., 48, 52, 56, 64, ..., 96, 104, 112, 128 and so on.
        channels: Channels of the images, usually 1 or 3.
        variant: "dcgan", or "veegan" for the larger network with biases, which is only available for 28x28 images.
        base_filters: Number of filters before the last layer (64 in the paper). All others are multiples of it.
        axis_name: See `DCGANGenerator`.
        dtype: See `DCGANGenerator`.

    Returns:
        The generator, not yet initialized.

    Raises:
        ValueError: The size is not supported or the variant is unknown.
    """
    if variant == "veegan":
        sizes, multiples = _veegan_sizes(image_size), (8, 4, 2, 1)
    else:
        sizes = _dcgan_sizes(image_size, variant)
        num_doublings = len(sizes) - 2
        multiples = (4, *(min(4, 2**power) for power in reversed(range(num_doublings))))
    return DCGANGenerator(
        sizes=sizes,
        filters=tuple(base_filters * multiple for multiple in multiples),
        channels=channels,
        use_bias=variant == "veegan",
        axis_name=axis_name,
        dtype=dtype,
    )


def dcgan_discriminator(
    image_size: int, *, variant: str = "dcgan", kind: type[DCGANDiscriminator] = DCGANDiscriminator, **attributes: Any
) -> DCGANDiscriminator:
    """Builds the discriminator for the images of `dcgan_generator(image_size, ...)`.

    Args:
        image_size: Height and width of the images, as for `dcgan_generator`.
        variant: "dcgan" or "veegan", as for `dcgan_generator`.
        kind: The discriminator's class, such as `DCGANPairDiscriminator`.
        **attributes: Other attributes of that class.

    Returns:
        The discriminator, not yet initialized. Its last feature map is 4x4 to 7x7 (2x2 for the variant "veegan").

    Raises:
        ValueError: The size is not supported or the variant is unknown.
    """
    sizes = _veegan_sizes(image_size) if variant == "veegan" else _dcgan_sizes(image_size, variant)
    return kind(num_layers=len(sizes) - 1, **attributes)


def _dcgan_sizes(image_size: int, variant: str) -> tuple[int, ...]:
    """Returns the sizes of the feature maps: the start twice (one layer of stride 1), then doublings of it."""
    if variant not in _VARIANTS:
        raise ValueError(f"Unknown DCGAN variant {variant!r}. Available: {', '.join(_VARIANTS)}.")
    sizes = (image_size,)
    while sizes[0] > _LARGEST_START and sizes[0] % 2 == 0:
        sizes = (sizes[0] // 2, *sizes)
    if len(sizes) == 1 or not _SMALLEST_START <= sizes[0] <= _LARGEST_START:
        raise ValueError(
            f"DCGAN networks do not support images of {image_size}x{image_size}. Allowed: start * 2**k with start from "
            f"{_SMALLEST_START} to {_LARGEST_START} and k >= 1; the nearest is {_nearest_size(image_size)}. "
            "Resize the images, or give DCGANGenerator your own sizes and filters."
        )
    return (sizes[0], *sizes)


def _nearest_size(image_size: int) -> int:
    starts = range(_SMALLEST_START, _LARGEST_START + 1)
    allowed = (start * 2**power for start in starts for power in range(1, max(2, image_size.bit_length())))
    return min(allowed, key=lambda size: abs(size - image_size))


def _veegan_sizes(image_size: int) -> tuple[int, ...]:
    if image_size != 28:
        raise ValueError(
            f"The DCGAN variant 'veegan' is for images of 28x28, got {image_size}x{image_size}. "
            "Use the variant 'dcgan' for other sizes."
        )
    return (2, 4, 7, 14, 28)


def _enlargement(old_size: int, new_size: int) -> dict[str, Any]:
    """Returns the strides and padding of the 5x5 transposed convolution between two sizes."""
    if new_size == old_size:
        return {"strides": (1, 1)}
    if new_size == 2 * old_size:
        return {"strides": (2, 2)}
    if new_size == 2 * old_size - 1:
        return {"strides": (2, 2), "padding": ((2, 2), (2, 2))}
    raise ValueError(
        f"A DCGAN generator cannot go from size {old_size} to {new_size}. "
        f"Allowed after {old_size}: {old_size}, {2 * old_size - 1}, {2 * old_size}."
    )


VARIANT = Option("variant", "dcgan", "veegan: the larger network for 28x28", choices=_VARIANTS)
BASE_FILTERS = Option("base_filters", 64, "channels of the largest feature map; others are multiples", least=1, smoke=2)


@declarations.generator("dcgan", "transposed 5x5 convolutions, for images", VARIANT, BASE_FILTERS, data="images")
def generator_dcgan(example_shape, *, axis_name, dtype, variant, base_filters):
    """Builds `dcgan_generator` for the example's shape."""
    size, _, channels = example_shape
    options = {"variant": variant, "base_filters": base_filters, "axis_name": axis_name, "dtype": dtype}
    return dcgan_generator(size, channels, **options)
