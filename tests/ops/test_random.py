"""Random numbers are those of `jax.random`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax.ops import threefry

SHAPES = [(1,), (7,), (3, 5), (256, 100), (0, 4)]
BOUNDS = [(-1, 1), (0.1, 0.3)]
KEYS = {
    "typed": lambda: jax.random.key(3),
    "folded": lambda: jax.random.fold_in(jax.random.key(2**31 - 1), 77),
    "raw": lambda: jax.random.PRNGKey(5),
    "rbg": lambda: jax.random.key(3, impl="rbg"),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KEYS)
def test_numbers_are_those_of_jax(kind, shape):
    key = KEYS[kind]()
    drawn = [threefry.normal(key, shape), *(threefry.uniform(key, shape, *bounds) for bounds in BOUNDS)]
    expected = [jax.random.normal(key, shape, jnp.float32)]
    expected += [jax.random.uniform(key, shape, jnp.float32, *bounds) for bounds in BOUNDS]
    for ours, theirs in zip(drawn, expected, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)  # the compiler may contract a sum of a product


def test_bits_are_those_of_jax():
    for seed in range(5):
        key = jax.random.key(seed)
        np.testing.assert_array_equal(
            threefry._bits(jax.random.key_data(key), (65, 33)), jax.random.bits(key, (65, 33), jnp.uint32)
        )


@pytest.mark.usefixtures("x64")
def test_numbers_are_the_same_float32_under_x64():
    drawn = threefry.normal(jax.random.key(1), (9,))
    assert drawn.dtype == jnp.float32
    np.testing.assert_allclose(drawn, jax.random.normal(jax.random.key(1), (9,), jnp.float32), rtol=1e-6, atol=1e-7)


def test_several_keys_are_refused_without_vmap():
    with pytest.raises((ValueError, TypeError), match="key"):
        threefry.normal(jax.random.split(jax.random.key(0), 3), (4, 2))


def test_several_keys_at_once_under_vmap_and_in_a_loop():
    keys = jax.random.split(jax.random.key(0), 4)
    one_by_one = np.stack([threefry.normal(key, (6, 2)) for key in keys])
    for many in (jax.vmap(lambda key: threefry.normal(key, (6, 2))), lambda keys: jax.lax.map(_draw, keys)):
        np.testing.assert_allclose(many(keys), one_by_one, rtol=1e-6, atol=1e-7)


def _draw(key):
    return threefry.normal(key, (6, 2))


def test_jax_draws_where_its_bits_are_others():
    key = jax.random.key(1)
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(threefry.normal(key, (9,)), jax.random.normal(key, (9,)))


def test_on_an_accelerator_jax_draws():
    traced = jax.jit(lambda key: threefry.normal(key, (8, 8))).trace(jax.random.key(0))
    assert "threefry" not in traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "threefry" in traced.lower(lowering_platforms=("tpu",)).as_text()
