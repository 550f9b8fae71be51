"""Convolutions of small images without a stride as products of spectra, on a CPU.

Gain: a fifth of the multiplications, and 2.2 to 3.2 times the speed of the plain convolution, for the first layer of a
DCGAN generator, 8x8x256 -> 128 (value and both gradients, batch 64 and 256, two cores).

A convolution of images with zeros around them is a circular one of some length `N` per axis. The discrete Fourier
transform turns that into one complex product per frequency. Real signals have conjugate pairs of frequencies, and one
product of each pair is enough. The transforms are matrices here, so that all of it is real:

    y = new_from_products @ ((spectrum_of_x @ x) * (spectrum_of_kernel @ kernel))

A complex "product" is one between matrices. `[[real, -imaginary], [imaginary, real]]` of the images has the shape
`[2 batch, 2 channels_in]`, and `[[real], [imaginary]]` of the kernel has the shape `[2 channels_in, channels_out]`.
(Gauss has three products of half that size. They are fewer multiplications, but matrices as small as a layer's take
longer.) The gradients are the transposed products. They cost as much as the value.

Example: a 5x5 kernel on 8x8 pixels has `N` 10. It takes 4 real and 48 complex products in place of 1600 real ones. With
the transforms, at batch 64 and 256 -> 128 channels, that is the fifth of the multiplications.

Errors are those of a plain convolution (measured in float32: 7e-7 of the largest value of the image). The transforms of
Winograd and Toom and Cook need fewer multiplications still, but lose digits. Each pixel is made from all of the image:
next to a value of 1e6, zeros become 3e-3, and one NaN or infinity makes all of its image NaN.

Source: Mathieu, Henaff, LeCun 2014, Fast training of convolutional networks through FFTs,
https://arxiv.org/abs/1312.5851. Matrices replace the fast transforms: at these sizes they cost less than the products.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.ops._plain import Pads, Strides

# Spectra are faster from this many times fewer multiplications on. Measured, value and gradients on two cores: 5 gains
# 2.2 to 3.2 times, 2.3 to 2.5 gains 1.5 to 2, 2.2 may lose.
_WORTH = 2.3
_MAX_ENTRIES = 2**20  # entries of the matrices, which become constants of the program: 4 MB in float32
_NUM_GROUPS = 2  # groups of frequencies, one after the other: the numbers between two products stay in the cache
_DTYPES = (np.float32, np.float64)  # a spectrum loses the few digits of the others


def is_worth_it(x: jax.Array, kernel: jax.Array, pads: Pads) -> bool:
    """Whether `conv2d` is expected to be faster than the plain convolution of the same arguments, on a CPU."""
    is_symbolic = not all(isinstance(size, int) for size in (*x.shape, *kernel.shape))  # jax.export with unknown sizes
    if is_symbolic or x.dtype not in _DTYPES:
        return False
    new_size = _new_size(x.shape[1:3], kernel.shape[:2], pads)
    lengths = _lengths(x.shape[1:3], pads)
    num_waves, num_real = math.prod(lengths), _num_real(lengths)  # a complex frequency and its conjugate: two waves
    batch, old, new, taps = x.shape[0], math.prod(x.shape[1:3]), math.prod(new_size), math.prod(kernel.shape[:2])
    if min(new_size) < 1 or num_waves * (old + new + taps) > _MAX_ENTRIES:
        return False
    channels_in, channels_out = kernel.shape[2:]
    transforms = num_waves * (batch * (old * channels_in + new * channels_out) + taps * channels_in * channels_out)
    products = (num_real + 2 * (num_waves - num_real)) * batch * channels_in * channels_out
    return batch * new * taps * channels_in * channels_out > _WORTH * (transforms + products)


def conv2d(x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads) -> jax.Array:
    """Convolution without a stride.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`, float32 or float64.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`, same dtype.
        strides: Steps of the window, each 1.
        pads: Zeros before and after height and width. Negative numbers cut off.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.

    Raises:
        ValueError: There is a stride, or the dtype is another one.
    """
    if max(strides) > 1 or x.dtype not in _DTYPES:
        raise ValueError(f"Spectra need float32 or float64, and no stride; got {x.dtype} and strides {strides}.")
    new_size = _new_size(x.shape[1:3], kernel.shape[:2], pads)
    of_real, of_complex = _matrices(x.shape[1:3], kernel.shape[:2], new_size, pads)
    pixels = x.reshape(x.shape[0], -1, x.shape[-1]).transpose(1, 0, 2)
    taps = kernel.reshape(-1, *kernel.shape[2:])
    of_x, of_kernel, to_new = of_real
    y = _combine(to_new.T, _combine(of_x, pixels) @ _combine(of_kernel, taps))
    num_groups = min(_NUM_GROUPS, len(of_complex[0]))  # none where `N` is at most 2
    groups = [np.array_split(m, num_groups) for m in of_complex] if num_groups else []
    for of_x, of_kernel, to_new in zip(*groups, strict=True):
        products = _complex_products(_combine(of_x, pixels), _combine(of_kernel, taps))
        y += _combine(to_new.reshape(len(products), to_new.shape[-1]).T, products)
    return y.transpose(1, 0, 2).reshape(x.shape[0], *new_size, kernel.shape[-1])


def _complex_products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Real parts `[:, 0]` and imaginary ones `[:, 1]` of `[n, 2, batch, k]` and `[n, 2, k, m]` to `[2 n, batch, m]`."""
    (num, _, batch, k), m = a.shape, b.shape[-1]
    real, imaginary = a[:, 0], a[:, 1]
    rows = [jnp.stack(pair, axis=2) for pair in ((real, -imaginary), (imaginary, real))]
    products = jnp.stack(rows, axis=1).reshape(num, 2 * batch, 2 * k) @ b.reshape(num, 2 * k, m)
    return products.reshape(2 * num, batch, m)


def _combine(matrix: np.ndarray, arrays: jax.Array) -> jax.Array:
    """Linear combinations of arrays, as one product of matrices."""
    flat = matrix.reshape(math.prod(matrix.shape[:-1]), matrix.shape[-1])
    combined = jnp.asarray(flat, arrays.dtype) @ arrays.reshape(arrays.shape[0], -1)
    return combined.reshape(*matrix.shape[:-1], *arrays.shape[1:])


def _new_size(old: Sequence[int], window: Sequence[int], pads: Pads) -> tuple[int, ...]:
    return tuple(n + sum(pad) - k + 1 for n, k, pad in zip(old, window, pads, strict=True))


def _lengths(old: Sequence[int], pads: Pads) -> tuple[int, ...]:
    """Lengths of the circular convolution, per axis: all that wraps around falls on zeros."""
    return tuple(n + max(0, *pad) for n, pad in zip(old, pads, strict=True))


def _num_real(lengths: Sequence[int]) -> int:
    """Frequencies that are their own conjugates."""
    return math.prod(2 - length % 2 for length in lengths)


@functools.lru_cache(maxsize=16)
def _matrices(
    old: tuple[int, ...], window: tuple[int, ...], new: tuple[int, ...], pads: Pads
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Transforms of the pixels, the taps and the new pixels, in float64.

    Returns:
        The matrices of the real frequencies, each `[frequencies, positions]`, and those of one of each two conjugate
        frequencies, each `[frequencies, 2, positions]`, real and imaginary parts.
    """
    lengths = _lengths(old, pads)

    def waves(positions):
        """Waves of two axes, shape `[frequencies, positions]`."""
        axes = [np.exp(2j * np.pi / n * np.outer(np.arange(n), p)) for n, p in zip(lengths, positions, strict=True)]
        return np.kron(*axes)

    of_x = waves([np.arange(n) for n in old]).conj()
    of_kernel = waves([np.arange(k) - before for k, (before, _) in zip(window, pads, strict=True)])
    of_new = waves([np.arange(n) for n in new]) / math.prod(lengths)

    frequencies = np.indices(lengths).reshape(2, -1)
    conjugates = np.ravel_multi_index([-f % n for f, n in zip(frequencies, lengths, strict=True)], lengths)
    index = np.arange(conjugates.size)
    real, pairs = index == conjugates, index < conjugates
    parts = [np.stack([m[pairs].real, m[pairs].imag], axis=1) for m in (of_x, of_kernel, 2 * of_new.conj())]
    return tuple(m[real].real for m in (of_x, of_kernel, of_new)), tuple(parts)
