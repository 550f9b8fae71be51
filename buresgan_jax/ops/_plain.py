"""XLA's own convolutions, and the types and sizes that all forms of a convolution share."""

import math
from collections.abc import Callable, Sequence

import jax
from jax import lax

Padding = str | Sequence[tuple[int, int]]
Pads = tuple[tuple[int, int], tuple[int, int]]
Strides = tuple[int, int]
Convolution = Callable[..., jax.Array]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def conv2d(
    x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads, dimension_numbers: Sequence[str] = _DIMENSIONS
) -> jax.Array:
    """Convolution by `lax`."""
    return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=dimension_numbers)


def conv_transpose2d(
    x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads, dimension_numbers: Sequence[str] = _DIMENSIONS
) -> jax.Array:
    """Transposed convolution by `lax`; `pads` lie around the image with zeros between its pixels."""
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, lhs_dilation=strides, dimension_numbers=dimension_numbers)


def areas(x: jax.Array, kernel: jax.Array, plain: Convolution) -> tuple[int, int, int]:
    """Height x width of the images, the kernel and the new images that `plain` makes."""
    new = jax.eval_shape(plain, x, kernel)
    return math.prod(x.shape[1:3]), math.prod(kernel.shape[:2]), math.prod(new.shape[1:3])


def transposed_size(old: int, window: int, stride: int, pads: tuple[int, int]) -> int:
    """Height or width of a transposed convolution's new images."""
    return (old - 1) * stride + 1 + sum(pads) - window + 1
