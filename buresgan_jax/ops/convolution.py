"""Convolutions of images whose gradients are fast on a CPU too.

XLA's CPU backend has fast kernels for some convolutions only, and a network's gradients often are others. So a CPU
computes the value and the two gradients in forms of their own (`_cpu_convolution.py`). Every other platform computes
the plain convolution of `lax`.

Images are `[batch, height, width, channels]`, kernels `[height, width, channels_in, channels_out]`.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import jax
from jax import lax

from buresgan_jax.ops import _cpu_convolution, _plain
from buresgan_jax.ops._implementation import run
from buresgan_jax.ops._plain import Convolution, Pads, Strides
from buresgan_jax.ops._plain import Padding as Padding

Implementation = Literal["auto", "plain", "cpu", "direct", "phases", "product", "spectra"]


def conv2d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int] = (1, 1),
    padding: Padding = "SAME",
    implementation: Implementation = "auto",
) -> jax.Array:
    """Convolution (cross-correlation) of images, `lax.conv_general_dilated` with fast gradients on a CPU.

    On a CPU the form depends on all sizes, and so on the batch's. The same image in batches of two sizes may give
    values that differ by 1e-6 of the largest one.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`, floating dtype.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`, same dtype.
        strides: Step of the window along height and width.
        padding: "SAME", "VALID", or pairs `((top, bottom), (left, right))`. "SAME" is TensorFlow's: the output is the
            input divided by the stride, rounded up, and an odd pixel goes to the bottom or right.
        implementation: "auto": the fastest form on a CPU, the plain one elsewhere. "cpu" and "plain": these two on
            every platform. "direct", "phases", "product" and "spectra": single forms of a CPU (`_cpu_convolution.py`).

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.

    Raises:
        ValueError: The shapes or the padding do not fit, or the implementation does not exist for them.
        TypeError: The dtypes differ.
    """
    strides = _check(x, kernel, strides, padding)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    return _conv2d(x, kernel, strides, tuple(map(tuple, padding)), implementation)


def conv_transpose2d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: Sequence[int] = (1, 1),
    padding: Padding = "SAME",
    implementation: Implementation = "auto",
) -> jax.Array:
    """Transposed (fractionally strided) convolution of images, `lax.conv_transpose` with fast gradients on a CPU.

    With the kernel flipped in height and width and its channels exchanged, it is the adjoint of `conv2d`. TensorFlow
    and Keras call that a transposed convolution.

    Args:
        x: Images, shape `[batch, height, width, channels_in]`, floating dtype.
        kernel: Shape `[kernel_height, kernel_width, channels_in, channels_out]`, same dtype.
        strides: Factors by which the image grows.
        padding: "SAME" (height and width are multiplied by the strides), "VALID", or pairs of numbers of pixels. These
            pixels are added to the image after `stride - 1` zeros were put between neighbors. A 5x5 kernel, strides 2
            and `((2, 2), (2, 2))` give an odd size, `2 * height - 1`.
        implementation: See `conv2d`.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.

    Raises:
        ValueError: The shapes or the padding do not fit, or the implementation does not exist for them.
        TypeError: The dtypes differ.
    """
    strides = _check(x, kernel, strides, padding)
    if isinstance(padding, str):
        padding = [_transposed_pads(k, s, padding) for k, s in zip(kernel.shape, strides, strict=False)]
    pads = tuple(map(tuple, padding))
    if max(strides) == 1:
        return _conv2d(x, kernel, strides, pads, implementation)
    forms = {"plain": _plain.conv_transpose2d, **_cpu_convolution.CONV_TRANSPOSE2D}
    return _run(implementation, forms, x, kernel, strides, pads)


def _conv2d(x: jax.Array, kernel: jax.Array, strides: Strides, pads: Pads, implementation: str) -> jax.Array:
    return _run(implementation, {"plain": _plain.conv2d, **_cpu_convolution.CONV2D}, x, kernel, strides, pads)


def _run(
    implementation: str,
    forms: Mapping[str, Convolution],
    x: jax.Array,
    kernel: jax.Array,
    strides: Strides,
    pads: Pads,
) -> jax.Array:
    forms = {name: functools.partial(form, strides=strides, pads=pads) for name, form in forms.items()}
    if 0 in jax.eval_shape(forms["plain"], x, kernel).shape[1:3]:
        forms = dict.fromkeys(forms, forms["plain"])  # no pixel to compute
    return run(implementation, forms, x, kernel)


def _transposed_pads(window: int, stride: int, padding: str) -> tuple[int, int]:
    """Pixels before and after the dilated image, as `lax.conv_transpose` has them."""
    if padding == "VALID":
        return window - 1, max(window, stride) - 1
    total = window + stride - 2
    before = window - 1 if stride > window - 1 else -(-total // 2)
    return before, total - before


def _check(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding) -> tuple[int, int]:
    """Raises clear errors; returns the strides as a tuple."""
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            "A convolution needs images [batch, height, width, channels] and a kernel [height, width, channels, "
            f"new_channels]; got shapes {x.shape} and {kernel.shape}."
        )
    if x.dtype != kernel.dtype:
        raise TypeError(f"A convolution needs images and kernel of one dtype; got {x.dtype} and {kernel.dtype}.")
    if len(strides) != 2 or min(strides) < 1:
        raise ValueError(f"strides must be two positive integers; got {tuple(strides)}.")
    known = padding in ("SAME", "VALID") if isinstance(padding, str) else [len(pair) for pair in padding] == [2, 2]
    if not known:
        raise ValueError(f"padding must be 'SAME', 'VALID' or two pairs of integers; got {padding!r}.")
    return tuple(strides)
