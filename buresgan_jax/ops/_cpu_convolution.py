"""The forms of a convolution on a CPU, and the choice among them.

- `direct`: value and gradients are each a convolution that XLA does not swap, or a matrix product.
- `phases`: one convolution without a stride per phase. They compute the gradient by `x` of a convolution with a stride,
  and the value and gradients of a transposed one.
- `product`: value and gradients are matrix products.
- `spectra`: value and gradients are products of Fourier transforms, in each phase where there is a stride.

The choice depends on all sizes. It takes spectra where they save enough multiplications, and phases where XLA swaps no
phase. Everything else is `direct`, but the value of a transposed convolution to few channels is a product.

Only differentiable operations and `custom_jvp` are used. So forward mode, derivatives of any order, vmap, scan and pmap
work.

Gain: BuresGAN's step on CIFAR takes 980 ms with phases, and 1,508 with products in their place. XLA's other kernels for
convolutions (`runtime/xla.py`) are a part of that gain (batch 64, one core). Each form's file has its own figures.
"""

import functools
import math

import jax
import jax.numpy as jnp

from buresgan_jax.ops import _direct, _phases, _plain, _products, _spectra
from buresgan_jax.ops._plain import Pads, Strides, areas

_WORTH_PHASES = 16  # channels from which stride x stride small convolutions beat one product (measured: 3 no, 64 yes)


def conv2d(x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads) -> jax.Array:
    """Convolution by the form that is expected to be the fastest."""
    if max(strides) == 1 and _spectra.is_worth_it(x, kernel, pads):
        return _spectra.conv2d(x, kernel, strides=strides, pads=pads)
    if max(strides) > 1 and x.shape[-1] >= _WORTH_PHASES:
        old, _, new = areas(x, kernel, functools.partial(_plain.conv2d, strides=strides, pads=pads))
        if _phases.are_direct(x, kernel, (old, new), strides):
            return _phases.conv2d(x, kernel, strides=strides, pads=pads)
    return _direct.conv2d(x, kernel, strides=strides, pads=pads)


def conv_transpose2d(x: jax.Array, kernel: jax.Array, *, strides: Strides, pads: Pads) -> jax.Array:
    """Transposed convolution with a stride by the form that is expected to be the fastest."""
    options = {"strides": strides, "pads": pads}
    if kernel.shape[-1] >= _WORTH_PHASES:
        old = math.prod(x.shape[1:3])
        new_of_phase = math.prod(_phases.phase_sizes(x, kernel, strides, pads))
        if _phases.are_direct(x, kernel, (old, new_of_phase), strides) and new_of_phase <= old:
            return _phases.conv_transpose2d(x, kernel, **options, convolve=conv2d)
        return _direct.conv_transpose2d(x, kernel, **options)
    # Few channels are cheap to add up, and the image with zeros between its pixels is mostly zeros. In half precision
    # the sums would be rounded one by one.
    _, _, new = areas(x, kernel, functools.partial(_plain.conv_transpose2d, **options))
    is_sum = new > 0 and jnp.finfo(x.dtype).bits >= 32
    value = functools.partial(_products.conv_transpose2d, **options) if is_sum else None
    return _direct.conv_transpose2d(x, kernel, **options, value=value)


# The forms by name.
CONV2D = {
    "cpu": conv2d,
    "direct": _direct.conv2d,
    "phases": _phases.conv2d,
    "product": _products.conv2d,
    "spectra": _spectra.conv2d,
}
CONV_TRANSPOSE2D = {
    "cpu": conv_transpose2d,
    "direct": _direct.conv_transpose2d,
    "phases": _phases.conv_transpose2d,
    "product": _products.conv_transpose2d,
    "spectra": functools.partial(_phases.conv_transpose2d, convolve=_spectra.conv2d),
}
