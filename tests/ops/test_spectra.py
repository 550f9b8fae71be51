"""Products of spectra equal the convolution to the last digits. Large images and half precision do not use them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from buresgan_jax.ops import _spectra, conv2d

_PADS = [((2, 2), (2, 2)), ((0, 0), (0, 0)), ((3, 1), (0, 5)), ((-1, 2), (4, -2)), ((-2, -1), (6, 6))]


def _arrays(size, window, *, batch=2, channels=(3, 4), dtype=np.float32):
    random = np.random.default_rng(0)
    x = random.normal(size=(batch, *size, channels[0])).astype(dtype)
    return x, random.normal(size=(*window, *channels)).astype(dtype)


def _lax(x, kernel, padding):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("pads", _PADS)
@pytest.mark.parametrize(("size", "window"), [((7, 8), (5, 4)), ((5, 6), (1, 2)), ((4, 6), (2, 6))])
def test_spectra_in_float64_give_the_convolution(size, window, pads, x64):
    x, kernel = _arrays(size, window, dtype=np.float64)
    y = conv2d(jnp.asarray(x), jnp.asarray(kernel), padding=pads, implementation="spectra")
    np.testing.assert_allclose(y, _lax(x, kernel, pads), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("implementation", ["auto", "spectra"])
def test_spectra_lose_no_digits(implementation):
    """The largest error, against float64, is at most twice that of the plain convolution."""
    x, kernel = _arrays((6, 6), (5, 5), batch=16, channels=(64, 48))  # on a CPU the default choice
    with jax.enable_x64(True):
        exact = np.asarray(_lax(x.astype(np.float64), kernel.astype(np.float64), "SAME"))
    ours, plain = conv2d(x, kernel, implementation=implementation), _lax(x, kernel, "SAME")
    errors = [np.abs(np.asarray(y) - exact).max() for y in (ours, plain)]
    assert 0 < errors[0] < 2 * errors[1]


def test_large_images_have_none():
    """Their matrices would be constants of many megabytes in the program."""
    kernel, pads = jax.ShapeDtypeStruct((9, 9, 512, 512), np.float32), ((4, 4), (4, 4))
    images = [jax.ShapeDtypeStruct((64, size, size, 512), np.float32) for size in (8, 16, 32, 64)]
    assert [_spectra.is_worth_it(x, kernel, pads) for x in images] == [True, True, False, False]


def test_half_precision_has_none():
    x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in _arrays((6, 6), (5, 5)))
    with pytest.raises(ValueError, match=r"need float32 or float64.*; got bfloat16"):
        conv2d(x, kernel, implementation="spectra")
