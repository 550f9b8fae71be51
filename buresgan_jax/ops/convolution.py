"""Convolutions of images whose gradients are fast on CPU too.

XLA's CPU backend has fast kernels for convolutions of the layout NHWC, HWIO -> NHWC with an ordinary window. Others run
up to a hundred times slower, and two things make others of a network's gradients:

- XLA swaps the two operands if the second one (the window) has the larger area, and reverses the window. With
  `area` = height x width, this happens forward if area(kernel) > area(x) (a 5x5 kernel on a 4x4 feature map), in the
  gradient for `x` if area(kernel) > area(y) (the 5x5 convolution from 8x8 to 4x4), and in the gradient for the kernel
  if area(y) > area(x) (every transposed convolution with a stride).
- Gradients have other layouts. XLA transposes their operands, but in the outermost computation only: not in the body
  of a `scan`, and not under a nested `jit`.

Here, on CPU, the value and the two gradients are computed each in its own way. A convolution that is not swapped stays
one, `direct`, written so that its gradient has the fast layout. A transposed convolution with a stride becomes one
convolution without a stride per phase (remainder by the stride) of its output, and the gradient by `x` of a convolution
with a stride a sum over the phases of `x`. Where phases do not pay or would be swapped too, a swapped convolution
becomes a `product`: of a matrix with all patches (convolution), or of a matrix with all pixels, whose results are added
up where they overlap (transposed). The value of a transposed convolution with a stride and few new channels is such a
product too. And where Fourier transforms save enough multiplications, a convolution without a stride, value and
gradients, is one of `spectra`. On GPU and TPU everything is the plain convolution. Only differentiable operations and
`custom_jvp` are used, so that forward mode, derivatives of any order, vmap, scan and pmap work.

Notation: images are `[batch, height, width, channels]`, kernels `[height, width, channels_in, channels_out]`.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from buresgan_jax.ops import spectra

Padding = str | Sequence[tuple[int, int]]
_Pads = tuple[tuple[int, int], tuple[int, int]]
_Convolution = Callable[..., jax.Array]

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_WORTH_PHASES = 16  # channels from which stride x stride small convolutions beat one product (measured: 3 no, 64 yes)


def conv2d(x: jax.Array, kernel: jax.Array, *, strides: Sequence[int] = (1, 1), padding: Padding = "SAME") -> jax.Array:
    """Convolution (cross-correlation) of images, `lax.conv_general_dilated` with fast gradients on CPU.

    On CPU the way to compute depends on all sizes, the batch's too, so that the same image in batches of two sizes may
    give values that differ by 1e-6 of the largest one; on GPU and TPU it is the plain convolution.

    Args:
        x: images, shape `[batch, height, width, channels_in]`, floating dtype.
        kernel: shape `[kernel_height, kernel_width, channels_in, channels_out]`, same dtype.
        strides: step of the window along height and width.
        padding: "SAME" (TensorFlow's: the output is the input divided by the stride, rounded up, and an odd pixel goes
            to the bottom or right), "VALID", or pairs `((top, bottom), (left, right))`.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.

    Raises:
        ValueError: the shapes or the padding do not fit.
        TypeError: the dtypes differ.
    """
    strides = _check(x, kernel, strides, padding)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    return _conv2d(x, kernel, strides, tuple(map(tuple, padding)))


def conv_transpose2d(
    x: jax.Array, kernel: jax.Array, *, strides: Sequence[int] = (1, 1), padding: Padding = "SAME"
) -> jax.Array:
    """Transposed (fractionally strided) convolution of images, `lax.conv_transpose` with fast gradients on CPU.

    With the kernel flipped in height and width and its channels exchanged, it is the adjoint of `conv2d`, which is what
    TensorFlow and Keras call a transposed convolution.

    Args:
        x: images, shape `[batch, height, width, channels_in]`, floating dtype.
        kernel: shape `[kernel_height, kernel_width, channels_in, channels_out]`, same dtype.
        strides: factors by which the image grows.
        padding: "SAME" (height and width are multiplied by the strides), "VALID", or pairs of numbers of pixels added
            to the image after `stride - 1` zeros were put between neighbors. A 5x5 kernel, strides 2 and
            `((2, 2), (2, 2))` give an odd size, `2 * height - 1`.

    Returns:
        Images, shape `[batch, new_height, new_width, channels_out]`.

    Raises:
        ValueError: the shapes or the padding do not fit.
        TypeError: the dtypes differ.
    """
    strides = _check(x, kernel, strides, padding)
    if isinstance(padding, str):
        padding = [_transposed_pads(k, s, padding) for k, s in zip(kernel.shape, strides, strict=False)]
    pads = tuple(map(tuple, padding))
    return _conv2d(x, kernel, strides, pads) if max(strides) == 1 else _conv_transpose2d(x, kernel, strides, pads)


def _conv2d(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    plain = functools.partial(
        lax.conv_general_dilated, window_strides=strides, padding=pads, dimension_numbers=_DIMENSIONS
    )
    on_cpu = functools.partial(_conv2d_on_cpu, strides=strides, pads=pads)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=plain)


def _conv2d_on_cpu(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    if max(strides) == 1 and spectra.is_worth_it(x, kernel, pads):
        return spectra.convolve(x, kernel, pads)
    direct = functools.partial(lax.conv_general_dilated, window_strides=strides, padding=pads)
    product = functools.partial(_patches_product, strides=strides, pads=pads)
    areas = old, window, new = _areas(x, kernel, direct)
    # The gradient of a strided convolution by x is a transposed one, whose own gradient by the kernel (second order:
    # gradient penalties) is swapped; that of phases and of a product is not. Derivatives of `by_kernel` itself
    # (unrolled GANs) still meet slow kernels: a product there would slow every first-order step.
    if max(strides) == 1:
        by_x = functools.partial(_direct_by_x, direct) if window <= min(old, new) else product
    elif x.shape[-1] >= _WORTH_PHASES and _phases_are_direct(x, kernel, (old, new), strides):
        by_x = functools.partial(_sum_of_phases, strides=strides, pads=pads)
    else:
        by_x = product
    return _mixture(_forward(direct, product, areas), by_x, _by_kernel(direct, product, areas))(x, kernel)


def _conv_transpose2d(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    plain = functools.partial(
        lax.conv_general_dilated,
        window_strides=(1, 1),
        padding=pads,
        lhs_dilation=strides,
        dimension_numbers=_DIMENSIONS,
    )
    on_cpu = functools.partial(_conv_transpose2d_on_cpu, strides=strides, pads=pads)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=plain)


def _conv_transpose2d_on_cpu(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    direct = functools.partial(lax.conv_general_dilated, window_strides=(1, 1), padding=pads, lhs_dilation=strides)
    product = functools.partial(_overlapping_product, strides=strides, pads=pads)
    areas = old, window, new = _areas(x, kernel, direct)
    is_thin = kernel.shape[-1] < _WORTH_PHASES
    if not is_thin:
        new_of_phase = math.prod(_phase_sizes(x.shape[1:3], kernel.shape[:2], strides, pads))
        if _phases_are_direct(x, kernel, (old, new_of_phase), strides) and new_of_phase <= old:
            return _interleaved_phases(x, kernel, strides, pads)
    by_x = functools.partial(_direct_by_x, direct) if window <= min(old, new) else product
    # Few channels are cheap to add up, and a dilated image is mostly zeros: 48x48x64 to 96x96x3 takes 19 ms, not 35.
    # In half precision the sums would be rounded one by one.
    is_sum = is_thin and new > 0 and jnp.finfo(x.dtype).bits >= 32
    forward = product if is_sum else _forward(direct, product, areas)
    return _mixture(forward, by_x, _by_kernel(direct, product, areas))(x, kernel)


def _areas(x: jax.Array, kernel: jax.Array, direct: _Convolution) -> tuple[int, int, int]:
    """Height x width of the images, of the kernel, and of the new images."""
    new = jax.eval_shape(functools.partial(direct, dimension_numbers=_DIMENSIONS), x, kernel)
    return math.prod(x.shape[1:3]), math.prod(kernel.shape[:2]), math.prod(new.shape[1:3])


def _direct_by_x(direct: _Convolution, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution whose transpose by `x` has the fast layout: JAX exchanges the kernel's channels."""
    return direct(x, kernel.swapaxes(2, 3), dimension_numbers=("NHWC", "HWOI", "NHWC"))


def _direct_by_kernel(direct: _Convolution, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution whose transpose by the kernel has the fast layout: JAX exchanges batch and channels."""
    x, kernel = x.transpose(3, 1, 2, 0), kernel.transpose(2, 0, 1, 3)
    return direct(x, kernel, dimension_numbers=("CHWN", "IHWO", "HWNC")).transpose(2, 0, 1, 3)


def _forward(direct: _Convolution, product: _Convolution, areas: tuple[int, int, int]) -> _Convolution:
    old, window, _ = areas
    return functools.partial(direct, dimension_numbers=_DIMENSIONS) if window <= old else product


def _by_kernel(direct: _Convolution, product: _Convolution, areas: tuple[int, int, int]) -> _Convolution:
    old, window, new = areas
    return functools.partial(_direct_by_kernel, direct) if max(window, new) <= old else product


def _mixture(forward: _Convolution, by_x: _Convolution, by_kernel: _Convolution) -> _Convolution:
    """One bilinear function with three ways to compute it: for the value, and for the derivative by each argument."""

    @jax.custom_jvp
    def convolution(x, kernel):
        return forward(x, kernel)

    def jvp(primals, tangents):
        (x, kernel), (x_dot, kernel_dot) = primals, tangents
        terms = [] if isinstance(x_dot, SymbolicZero) else [by_x(x_dot, kernel)]
        terms += [] if isinstance(kernel_dot, SymbolicZero) else [by_kernel(x, kernel_dot)]
        y = convolution(x, kernel)
        return y, functools.reduce(operator.add, terms) if terms else jnp.zeros_like(y)

    convolution.defjvp(jvp, symbolic_zeros=True)
    return convolution


# Convolutions with a stride as convolutions without one, of every stride-th pixel and tap: a phase for each remainder.


def _phases_are_direct(x: jax.Array, kernel: jax.Array, areas: tuple[int, int], strides: tuple[int, int]) -> bool:
    """Whether no phase is empty, and XLA swaps the operands in none: its taps have at most the area of the images."""
    taps = math.prod(-(-k // s) for k, s in zip(kernel.shape[:2], strides, strict=False))
    return min(*x.shape[1:3], *kernel.shape[:2]) >= max(strides) and taps <= min(areas)


def _sum_of_phases(x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    """A strided convolution: every phase of the image with its phase of the kernel, added up.

    Tap `first + stride * u` of output `i` lies on pixel `stride * i + first + stride * u - pad`.
    """
    sizes = [(n + sum(p) - k) // s + 1 for n, p, k, s in zip(x.shape[1:3], pads, kernel.shape, strides, strict=False)]

    def part(axis, first):
        stride, pad = strides[axis], pads[axis][0]
        phase = (first - pad) % stride
        low = (pad + phase - first) // stride
        num_pixels = len(range(phase, x.shape[1 + axis], stride))
        num_taps = len(range(first, kernel.shape[axis], stride))
        high = sizes[axis] + num_taps - 1 - low - num_pixels
        return slice(phase, None, stride), slice(first, None, stride), (low, high)

    terms = []
    for row in range(strides[0]):
        for column in range(strides[1]):
            (x_rows, k_rows, row_pads), (x_columns, k_columns, column_pads) = part(0, row), part(1, column)
            pixels, pads_of_phase = _crop(x[:, x_rows, x_columns], (row_pads, column_pads))
            direct = functools.partial(lax.conv_general_dilated, window_strides=(1, 1), padding=pads_of_phase)
            terms.append(_direct_by_x(direct, pixels, kernel[k_rows, k_columns]))
    return functools.reduce(operator.add, terms)


def _crop(x: jax.Array, pads: _Pads) -> tuple[jax.Array, _Pads]:
    """Cuts off what negative padding would.

    On CPU, jax 0.10.2 computes wrong gradients by the kernel where one convolution has padding of both signs (measured:
    1x1 kernel, `((-1, 1), (0, -1))`).
    """
    cuts = ((0, 0, 0), *((min(low, 0), min(high, 0), 0) for low, high in pads), (0, 0, 0))
    return lax.pad(x, jnp.zeros((), x.dtype), cuts), tuple((max(low, 0), max(high, 0)) for low, high in pads)


def _phase_sizes(old: Sequence[int], window: Sequence[int], strides: tuple[int, int], pads: _Pads) -> tuple[int, int]:
    """Height and width of one phase of a transposed convolution's output, rounded up."""
    new = (_transposed_size(*sizes) for sizes in zip(old, window, strides, pads, strict=False))
    return tuple(-(-n // s) for n, s in zip(new, strides, strict=True))


def _transposed_size(old: int, window: int, stride: int, pads: tuple[int, int]) -> int:
    return (old - 1) * stride + 1 + sum(pads) - window + 1


def _interleaved_phases(x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    """A transposed convolution: every phase of the output is a convolution with a part of the kernel.

    Row `stride * j + phase` of the output takes the taps `first + stride * u`, each from row `j + u - low`.
    """
    old, window = x.shape[1:3], kernel.shape[:2]
    sizes = _phase_sizes(old, window, strides, pads)

    def part(axis, phase):
        stride, pad = strides[axis], pads[axis][0]
        first = (pad - phase) % stride
        low = (pad - phase - first) // stride
        num_taps = len(range(first, window[axis], stride))
        return slice(first, None, stride), (low, sizes[axis] + num_taps - 1 - low - old[axis])

    rows = []
    for row in range(strides[0]):
        k_rows, row_pads = part(0, row)
        columns = []
        for column in range(strides[1]):
            k_columns, column_pads = part(1, column)
            pixels, pads_of_phase = _crop(x, (row_pads, column_pads))
            columns.append(_conv2d_on_cpu(pixels, kernel[k_rows, k_columns], (1, 1), pads_of_phase))
        rows.append(jnp.stack(columns, axis=3))  # [batch, height, width, column, channels]
    y = jnp.stack(rows, axis=2).reshape(x.shape[0], sizes[0] * strides[0], sizes[1] * strides[1], kernel.shape[-1])
    height, width = (_transposed_size(*n) for n in zip(old, window, strides, pads, strict=False))
    return y[:, :height, :width]


def _patches_product(x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    """Convolution as a matrix product: all patches of the image, flattened, times the flattened kernel."""
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))
    height, width = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel.shape[:2], strides, strict=True))
    patches = [
        x[:, i : i + (height - 1) * strides[0] + 1 : strides[0], j : j + (width - 1) * strides[1] + 1 : strides[1]]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def _overlapping_product(x: jax.Array, kernel: jax.Array, *, strides: tuple[int, int], pads: _Pads) -> jax.Array:
    """Transposed convolution as a matrix product: a patch of the output from each pixel; overlaps are added."""
    patches = x @ kernel.transpose(2, 0, 1, 3).reshape(x.shape[-1], -1)
    columns = _overlap_add(patches, 1, kernel.shape[0], strides[0], pads[0])
    return _overlap_add(columns, 2, kernel.shape[1], strides[1], pads[1])


def _overlap_add(patches: jax.Array, axis: int, window: int, stride: int, pads: tuple[int, int]) -> jax.Array:
    """Spreads the patches, whose rows (or columns) lie first in the last axis, along `axis`, and adds them up.

    Row `tap` of the patch of pixel `i` belongs to row `stride * i + pads[0] - tap` of the output, that is, to its
    `phase` (the remainder by the stride); in the phase, it is row `i + shift`.
    """
    old = patches.shape[axis]
    new = _transposed_size(old, window, stride, pads)
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
