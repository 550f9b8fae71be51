"""Bits are exactly those of `jax.random`; other kinds of keys are recognized."""

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.ops import _threefry


def test_bits_are_those_of_jax():
    for seed in range(5):
        key = jax.random.key(seed)
        np.testing.assert_array_equal(_threefry.bits(key, (65, 33)), jax.random.bits(key, (65, 33), jnp.uint32))


def test_only_one_key_of_jax_s_default_has_these_numbers():
    key = jax.random.key(0)
    assert _threefry.has_numbers(key, (2**16, 2**16))
    assert not _threefry.has_numbers(key, (2**16, 2**16 + 1))
    assert not _threefry.has_numbers(jax.random.key(0, impl="rbg"), (3,))
    assert not _threefry.has_numbers(jax.random.split(key), (3,))
    with jax.threefry_partitionable(False):
        assert not _threefry.has_numbers(key, (3,))
