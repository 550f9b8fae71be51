"""Sums over rows and repeated rows: the same by every form, products for many channels on a CPU only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from buresgan_jax.ops import repeat_row, sum_rows

_FORMS = ("auto", "plain", "cpu", "product")
_NARROW, _WIDE = 16_384, 16_392
_shapes = pytest.mark.parametrize("shape", [(6, 40), (3, _NARROW), (3, _WIDE), (1, 1), (0, 4)], ids=str)
_forms = pytest.mark.parametrize("form", _FORMS)


def _inputs(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@_shapes
@_forms
def test_sum_rows_is_the_sum(form, shape):
    rows = _inputs(*shape)
    total = sum_rows(jnp.asarray(rows), implementation=form)
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, rows.astype(np.float64).sum(0), rtol=1e-5, atol=1e-5)


@_shapes
@_forms
def test_repeat_row_has_equal_rows(form, shape):
    row = _inputs(shape[1])
    rows = repeat_row(jnp.asarray(row), shape[0], implementation=form)
    assert rows.dtype == jnp.float32
    np.testing.assert_array_equal(rows, np.broadcast_to(row, shape))


@_forms
def test_each_is_the_derivative_of_the_other(form):
    rows, row = _inputs(5, 7), _inputs(7)
    _, pullback = jax.vjp(lambda rows: sum_rows(rows, implementation=form), rows)
    np.testing.assert_allclose(pullback(row)[0], np.broadcast_to(row, (5, 7)), rtol=1e-6)
    _, pullback = jax.vjp(lambda row: repeat_row(row, 5, implementation=form), row)
    np.testing.assert_allclose(pullback(rows)[0], rows.sum(0), rtol=1e-5)


@_forms
def test_derivatives_equal_finite_differences(form, x64):
    def function(rows):
        mean = sum_rows(rows, implementation=form) / 5
        return jnp.sin(rows * repeat_row(mean, 5, implementation=form)).sum()

    check_grads(function, (_inputs(5, 7).astype(np.float64),), order=2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("function", [sum_rows, lambda array, **form: repeat_row(array[0], len(array), **form)])
def test_a_cpu_has_products_for_many_channels_and_no_other_platform_has(function):
    def products(form, num_channels, platform):
        traced = jax.jit(lambda rows: function(rows, implementation=form)).trace(jnp.ones((3, num_channels)))
        return traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.dot_general")

    for platform, by_auto in (("cpu", 1), ("tpu", 0), ("cuda", 0)):
        counts = {form: [products(form, size, platform) for size in (_NARROW, _WIDE)] for form in _FORMS}
        assert counts == {"auto": [0, by_auto], "plain": [0, 0], "cpu": [0, 1], "product": [1, 1]}


@pytest.mark.parametrize("form", ["auto", "product"])
def test_many_runs_at_once_are_those_one_after_the_other(form):
    rows = _inputs(4, 3, _WIDE)
    together = jax.vmap(lambda rows: sum_rows(rows, implementation=form))(rows)
    np.testing.assert_allclose(together, rows.sum(1), rtol=1e-5, atol=1e-5)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="one of 'auto', 'plain', 'cpu', 'product'; got 'gpu'"):
        sum_rows(jnp.ones((2, 3)), implementation="gpu")
    with pytest.raises(ValueError, match="got 'products'. Did you mean 'product'"):
        repeat_row(jnp.ones(3), 2, implementation="products")
