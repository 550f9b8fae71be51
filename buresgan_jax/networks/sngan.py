"""The DCGANs of spectrally normalized GANs: 4x4 convolutions with stride 2 and 3x3 ones, LeakyReLU of slope 0.1.

Parameter counts from 128 latent dimensions, three channels, 16 outputs:

| images | generator | discriminator |
|---|---|---|
| 32x32 | 3,811,907 | 5,983,760 |
| 48x48 | 5,151,299 | 6,147,600 |
| 64x64 | 13,258,307 | 23,942,672 |

Other sizes follow the same rule: `start * 2**k` with `start` from 4 to 7. The discriminator is meant to be spectrally
normalized (`config.discriminator.spectral_norm`).

References:
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
    https://arxiv.org/abs/1802.05957. Wang et al., "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019.
    https://arxiv.org/abs/1812.09916, whose sizes and initial laws these are.
"""

from typing import Any

import jax
from flax import linen as nn

from buresgan_jax import declarations
from buresgan_jax.networks.batch_norm import BatchNorm
from buresgan_jax.networks.dcgan import BASE_FILTERS
from buresgan_jax.networks.layers import Conv, ConvTranspose, Discriminated, at_least_float32

_SLOPE = 0.1
_relu_init = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
_leaky_relu_init = nn.initializers.variance_scaling(2 / (1 + _SLOPE**2), "fan_in", "truncated_normal")
_transposed_init = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")  # the fan of the authors' code
_linear_init = nn.initializers.glorot_uniform()
_bias_init = nn.initializers.truncated_normal(1e-5)


class SNGANGenerator(nn.Module):
    """A dense layer, 4x4 transposed convolutions with batch norm and ReLU, and a 3x3 convolution with tanh.

    Attributes:
        start_size: Height and width after the dense layer.
        num_doublings: Transposed convolutions; each doubles height and width and halves the channels.
        base_filters: Channels after the last of them.
        channels: Channels of the images.
        normalize_dense: Whether batch norm and ReLU follow the dense layer, as in the authors' network for 48x48. They
            act on each of its units.
        axis_name: Name of the device axis over which batch norm is synchronized.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    start_size: int
    num_doublings: int
    base_filters: int = 64
    channels: int = 3
    normalize_dense: bool = False
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

        def activate(x):
            return nn.relu(BatchNorm(train=train, axis_name=self.axis_name, dtype=self.dtype)(x))

        filters = self.base_filters * 2**self.num_doublings
        units = self.start_size**2 * filters
        if self.normalize_dense:
            x = activate(nn.Dense(units, use_bias=False, dtype=self.dtype, kernel_init=_relu_init)(z))
        else:
            x = nn.Dense(units, dtype=self.dtype, kernel_init=_linear_init, bias_init=_bias_init)(z)
        x = x.reshape(-1, self.start_size, self.start_size, filters)
        for _ in range(self.num_doublings):
            filters //= 2
            options = {"use_bias": False, "dtype": self.dtype, "kernel_init": _transposed_init}
            x = activate(ConvTranspose(filters, (4, 4), (2, 2), **options)(x))
        x = Conv(self.channels, (3, 3), dtype=self.dtype, kernel_init=_linear_init, bias_init=_bias_init)(x)
        return nn.tanh(at_least_float32(x))


class SNGANDiscriminator(nn.Module):
    """A 3x3 convolution, pairs of a 4x4 convolution with stride 2 and a 3x3 one, and a dense layer.

    Attributes:
        num_halvings: Number of pairs. Each halves height and width and doubles the channels.
        base_filters: Channels after the first convolution.
        output_dim: Dimension of the outputs.
        axis_name: Accepted for the common interface of networks; there is no batch norm to synchronize.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    num_halvings: int
    base_filters: int = 64
    output_dim: int = 16
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Discriminated:
        """Scores images.

        Args:
            x: Images, shape `[batch, height, width, channels]`, height and width divisible by `2**num_halvings`.
            train: Accepted for the common interface of networks; not used.

        Returns:
            Outputs, shape `[batch, output_dim]`, and features (the flattened last feature map), shape `[batch, dim]`,
            both at least float32; no further heads.
        """

        def convolve(x, filters, size, stride):
            options = {"dtype": self.dtype, "kernel_init": _leaky_relu_init, "bias_init": _bias_init}
            return nn.leaky_relu(Conv(filters, (size, size), (stride, stride), **options)(x), _SLOPE)

        x = convolve(x, self.base_filters, 3, 1)
        for pair in range(1, self.num_halvings + 1):
            x = convolve(x, self.base_filters * 2**pair, 4, 2)
            x = convolve(x, self.base_filters * 2**pair, 3, 1)
        features = x.reshape(x.shape[0], -1)
        options = {"dtype": self.dtype, "kernel_init": _linear_init, "bias_init": _bias_init}
        outputs = nn.Dense(self.output_dim, **options)(features)
        return at_least_float32(outputs), at_least_float32(features), {}


def sngan_sizes(image_size: int) -> tuple[int, int]:
    """Returns the size of the smallest feature map, from 4 to 7, and the number of doublings to the image.

    Raises:
        ValueError: No doublings lead to this size.
    """
    start, doublings = image_size, 0
    while start > 7 and start % 2 == 0:
        start, doublings = start // 2, doublings + 1
    if not 4 <= start <= 7 or not doublings:
        raise ValueError(
            f"SN-GAN networks do not support images of {image_size}x{image_size}. Allowed: start * 2**k, start from "
            "4 to 7, such as 28, 32, 48, 64, 96, 128. Resize the images, or use a DCGAN."
        )
    return start, doublings


def sngan_multiplier(image_size: int, lipschitz: float = 64.0) -> float:
    """Returns the norm of each of the discriminator's layers with which the whole has a Lipschitz constant."""
    return lipschitz ** (1 / (2 * sngan_sizes(image_size)[1] + 2))


@declarations.generator("sngan", "4x4 transposed convolutions with batch norm, for images", BASE_FILTERS, data="images")
def generator_sngan(example_shape, *, axis_name, dtype, base_filters):
    """Builds `SNGANGenerator` for the example's shape."""
    size, _, channels = example_shape
    start, doublings = sngan_sizes(size)
    return SNGANGenerator(start, doublings, base_filters, channels, start == 6, axis_name, dtype)


@declarations.discriminator(
    "sngan", "4x4 and 3x3 convolutions, to be spectrally normalized, for images", BASE_FILTERS, data="images"
)
def discriminator_sngan(example_shape, **attributes):
    """Builds `SNGANDiscriminator` for square images."""
    return SNGANDiscriminator(sngan_sizes(example_shape[0])[1], **attributes)
