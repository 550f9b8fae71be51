"""Convolutions whose value and two gradients are computed each in its own way, on a CPU.

XLA's CPU backend has fast kernels for convolutions of the layout NHWC, HWIO -> NHWC with an ordinary window. Two things
make a network's gradients miss them:

- XLA swaps the two operands if the second one (the window) has the larger area, and reverses the window. The area is
  height x width. The value is swapped if area(kernel) > area(x): a 5x5 kernel on a 4x4 feature map. The gradient by `x`
  is swapped if area(kernel) > area(y): the 5x5 convolution from 8x8 to 4x4. The gradient by the kernel is swapped if
  area(y) > area(x): every transposed convolution with a stride.
- Gradients have other layouts. XLA transposes their operands in the outermost computation only. It does not in the body
  of a `scan`, nor under a nested `jit`.

Here a convolution that XLA does not swap stays one. It is written so that its gradient has the fast layout. A
convolution that XLA would swap is a matrix product.

Gain: the gradient by `x` of 16x16x64 -> 8x8x128, which XLA does not swap, takes 29 ms in the fast layout, and 114 in a
loop's body without it (batch 64, 5x5 kernel, stride 2, one core of an AMD EPYC; docs/xla_convolution.md).
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from buresgan_jax.ops import _plain, _products
from buresgan_jax.ops._plain import Convolution, Pads, Strides, areas


def conv2d(
    x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads, by_x: Convolution | None = None
) -> jax.Array:
    """Convolution.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`.
        strides: Steps of the window.
        pads: Zeros before and after height and width.
        by_x: The way to compute the derivative by `x`. By default it is chosen here.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.
    """
    direct = functools.partial(_plain.conv2d, strides=strides, pads=pads)
    product = functools.partial(_products.conv2d, strides=strides, pads=pads)
    sizes = old, window, new = areas(x, kernel, direct)
    if by_x is None:
        # The gradient of a strided convolution by x is a transposed one. XLA swaps that one's own gradient by the
        # kernel, which gradient penalties need, and does not swap a product's. Derivatives of the gradient by the
        # kernel (unrolled GANs) still meet slow kernels: a product there would slow every first-order step.
        is_direct = max(strides) == 1 and window <= min(old, new)
        by_x = functools.partial(direct_by_x, direct) if is_direct else product
    return _bilinear(_value(direct, product, sizes), by_x, _by_kernel(direct, product, sizes))(x, kernel)


def conv_transpose2d(
    x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads, value: Convolution | None = None
) -> jax.Array:
    """Transposed convolution.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`.
        strides: Factors by which the image grows.
        pads: Pixels before and after the image with zeros between its pixels.
        value: The way to compute the value. By default it is chosen here.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.
    """
    direct = functools.partial(_plain.conv_transpose2d, strides=strides, pads=pads)
    product = functools.partial(_products.conv_transpose2d, strides=strides, pads=pads)
    sizes = old, window, new = areas(x, kernel, direct)
    by_x = functools.partial(direct_by_x, direct) if window <= min(old, new) else product
    value = value or _value(direct, product, sizes)
    return _bilinear(value, by_x, _by_kernel(direct, product, sizes))(x, kernel)


def direct_by_x(direct: Convolution, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution whose transpose by `x` has the fast layout: JAX exchanges the kernel's channels."""
    return direct(x, kernel.swapaxes(2, 3), dimension_numbers=("NHWC", "HWOI", "NHWC"))


def _direct_by_kernel(direct: Convolution, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution whose transpose by the kernel has the fast layout: JAX exchanges batch and channels."""
    x, kernel = x.transpose(3, 1, 2, 0), kernel.transpose(2, 0, 1, 3)
    return direct(x, kernel, dimension_numbers=("CHWN", "IHWO", "HWNC")).transpose(2, 0, 1, 3)


def _value(direct: Convolution, product: Convolution, sizes: tuple[int, int, int]) -> Convolution:
    old, window, _ = sizes
    return direct if window <= old else product


def _by_kernel(direct: Convolution, product: Convolution, sizes: tuple[int, int, int]) -> Convolution:
    old, window, new = sizes
    return functools.partial(_direct_by_kernel, direct) if max(window, new) <= old else product


def _bilinear(value: Convolution, by_x: Convolution, by_kernel: Convolution) -> Convolution:
    """One bilinear function with three ways to compute it: for the value, and for the derivative by each argument."""

    @jax.custom_jvp
    def convolution(x, kernel):
        return value(x, kernel)

    def jvp(primals, tangents):
        (x, kernel), (x_dot, kernel_dot) = primals, tangents
        terms = [] if isinstance(x_dot, SymbolicZero) else [by_x(x_dot, kernel)]
        terms += [] if isinstance(kernel_dot, SymbolicZero) else [by_kernel(x, kernel_dot)]
        y = convolution(x, kernel)
        return y, functools.reduce(operator.add, terms) if terms else jnp.zeros_like(y)

    convolution.defjvp(jvp, symbolic_zeros=True)
    return convolution
