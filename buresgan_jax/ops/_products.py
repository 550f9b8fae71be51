"""Convolutions as matrix products, on a CPU.

A convolution multiplies a matrix of all patches with the kernel. A transposed convolution multiplies a matrix of all
pixels with the kernel, and adds up the results where they overlap.

Gain: XLA's gradients with swapped operands take 14 to 25 times as long as these products, and up to 59 times in a loop
(batch 64, 5x5 kernels, stride 2, one core of an AMD EPYC; docs/xla_convolution.md). A transposed convolution to few
channels takes 18.5 ms instead of 34.5 for 48x48x64 -> 96x96x3, and 2.5 instead of 4.0 for 16x16x64 -> 32x32x3 (value,
batch 64, two cores).
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jax import lax

from buresgan_jax.ops._plain import Pads, Strides, transposed_size


def conv2d(x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads) -> jax.Array:
    """Convolution: all patches of the images, flattened, times the flattened kernel.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`.
        strides: Steps of the window.
        pads: Zeros before and after height and width.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.
    """
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))
    height, width = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True))
    patches = [
        x[:, i : i + (height - 1) * strides[0] + 1 : strides[0], j : j + (width - 1) * strides[1] + 1 : strides[1]]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def conv_transpose2d(x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads) -> jax.Array:
    """Transposed convolution: each pixel gives a patch of the new images, and overlaps are added up.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`.
        strides: Factors by which the image grows.
        pads: Pixels before and after the image with zeros between its pixels.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.
    """
    patches = x @ kernel.transpose(2, 0, 1, 3).reshape(x.shape[-1], -1)
    columns = _overlap_add(patches, 1, kernel.shape[0], strides[0], pads[0])
    return _overlap_add(columns, 2, kernel.shape[1], strides[1], pads[1])


def _overlap_add(patches: jax.Array, axis: int, window: int, stride: int, pads: tuple[int, int]) -> jax.Array:
    """Spreads the patches, whose rows (or columns) lie first in the last axis, along `axis`, and adds them up.

    Row `tap` of pixel `i`'s patch belongs to row `stride * i + pads[0] - tap` of the new images. The remainder by the
    stride is the row's phase. Within the phase it is row `i + shift`.
    """
    old = patches.shape[axis]
    new = transposed_size(old, window, stride, pads)
    rows_per_phase = -(-new // stride)
    phases = [[] for _ in range(stride)]
    for tap, rows in enumerate(lax.split(patches, (patches.shape[-1] // window,) * window, axis=-1)):
        shift, phase = divmod(pads[0] - tap, stride)
        config = [(0, 0, 0)] * patches.ndim
        config[axis] = (shift, rows_per_phase - old - shift, 0)
        phases[phase].append(lax.pad(rows, jnp.zeros((), rows.dtype), config))
    zeros = jnp.zeros_like(next(rows[0] for rows in phases if rows))
    phases = [functools.reduce(operator.add, rows) if rows else zeros for rows in phases]
    sizes = (*zeros.shape[:axis], rows_per_phase * stride, *zeros.shape[axis + 1 :])
    interleaved = jnp.stack(phases, axis + 1).reshape(sizes)
    return lax.slice_in_dim(interleaved, 0, new, axis=axis)
