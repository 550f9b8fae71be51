"""Random numbers are those of `jax.random`, by every form and on any number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax.ops import normal, normal_rows, uniform

SHAPES = [(1,), (7,), (3, 5), (256, 100), (0, 4)]
BOUNDS = [(-1, 1), (0.1, 0.3)]
KEYS = {
    "typed": lambda: jax.random.key(3),
    "folded": lambda: jax.random.fold_in(jax.random.key(2**31 - 1), 77),
    "raw": lambda: jax.random.PRNGKey(5),
    "rbg": lambda: jax.random.key(3, impl="rbg"),
}


@pytest.mark.parametrize("form", ["auto", "plain", "cpu"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KEYS)
def test_numbers_are_those_of_jax(kind, shape, form):
    key = KEYS[kind]()
    drawn = [normal(key, shape, implementation=form)]
    drawn += [uniform(key, shape, *bounds, implementation=form) for bounds in BOUNDS]
    expected = [jax.random.normal(key, shape, jnp.float32)]
    expected += [jax.random.uniform(key, shape, jnp.float32, *bounds) for bounds in BOUNDS]
    for ours, theirs in zip(drawn, expected, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)  # the compiler may contract a sum of a product


@pytest.mark.usefixtures("x64")
def test_numbers_are_the_same_float32_under_x64():
    drawn = normal(jax.random.key(1), (9,))
    assert drawn.dtype == jnp.float32
    np.testing.assert_allclose(drawn, jax.random.normal(jax.random.key(1), (9,), jnp.float32), rtol=1e-6, atol=1e-7)


def test_several_keys_are_refused_without_vmap():
    with pytest.raises((ValueError, TypeError), match="key"):
        normal(jax.random.split(jax.random.key(0), 3), (4, 2))


def test_several_keys_at_once_under_vmap_and_in_a_loop():
    keys = jax.random.split(jax.random.key(0), 4)
    one_by_one = np.stack([normal(key, (6, 2)) for key in keys])
    for many in (jax.vmap(lambda key: normal(key, (6, 2))), lambda keys: jax.lax.map(_draw, keys)):
        np.testing.assert_allclose(many(keys), one_by_one, rtol=1e-6, atol=1e-7)


def _draw(key):
    return normal(key, (6, 2))


def test_jax_draws_where_its_bits_are_others():
    key = jax.random.key(1)
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(normal(key, (9,)), jax.random.normal(key, (9,)))


def test_a_cpu_draws_in_one_pass_and_every_other_platform_by_jax():
    def calls_jax(form, platform):
        traced = jax.jit(lambda key: normal(key, (8, 8), implementation=form)).trace(jax.random.key(0))
        return "threefry" in traced.lower(lowering_platforms=(platform,)).as_text()

    for platform in ("cpu", "tpu", "cuda"):
        assert calls_jax("auto", platform) == (platform != "cpu")
        assert calls_jax("plain", platform)
        assert not calls_jax("cpu", platform)


def test_an_unknown_form_is_refused():
    for draw in (normal, normal_rows, functools.partial(uniform, low=0, high=1)):
        with pytest.raises(ValueError, match="one of 'auto', 'plain', 'cpu'; got 'threefry'"):
            draw(jax.random.key(0), (3,), implementation="threefry")


@pytest.mark.parametrize("shape", [(8, 5), (4,), (4, 3, 2)], ids=str)
@pytest.mark.parametrize("form", ["auto", "plain", "cpu"])
def test_rows_of_four_devices_are_those_of_one(form, shape):
    key = jax.random.key(7)
    own = (shape[0] // 4, *shape[1:])
    whole = normal_rows(key, shape, implementation=form)
    np.testing.assert_array_equal(whole, normal(key, shape, implementation=form))
    draw = jax.pmap(lambda _: normal_rows(key, own, axis_name="devices", implementation=form), "devices")
    parts = draw(jnp.arange(4))
    assert parts.shape == (4, *own)
    np.testing.assert_allclose(parts.reshape(shape), whole, rtol=1e-6, atol=1e-7)


def test_rows_of_a_mapped_axis_are_those_of_one_device():
    key = jax.random.key(7)
    draw = jax.vmap(lambda _: normal_rows(key, (2, 3), axis_name="batch"), axis_name="batch")
    np.testing.assert_allclose(draw(jnp.arange(4)).reshape(8, 3), normal(key, (8, 3)), rtol=1e-6, atol=1e-7)
