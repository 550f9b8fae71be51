"""The numbers of `jax.random.normal` and `uniform`, drawn in one pass on a CPU.

JAX writes the rounds of Threefry as a loop for CPUs, which compiles faster: five passes over the memory, and one more
for the conversion. Written out, rounds and conversion are one kernel. On GPU and TPU, for keys of other generators,
bits that are not "partitionable" and more than 2^32 numbers, this is `jax.random` itself.

Source: Salmon, Moraes, Dror, Shaw 2011, Parallel random numbers: as easy as 1, 2, 3,
https://doi.org/10.1145/2063384.2063405; which blocks are drawn is JAX's ("partitionable"): the high and the low word of
each number's index, and the result is the exclusive or of both words.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_MANTISSA_BITS = 23
_LOWEST = float(np.nextafter(np.float32(-1), np.float32(0)))  # whose inverse error function is finite


@functools.partial(jax.jit, static_argnums=1)
def normal(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers, float32: those of `jax.random.normal(key, shape)`, up to rounding."""

    def from_bits(data):
        return np.float32(math.sqrt(2)) * jax.lax.erf_inv(_uniform(_bits(data, shape), _LOWEST, 1.0))

    return _choose(key, shape, from_bits, lambda key: jax.random.normal(key, shape, jnp.float32))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def uniform(key: jax.Array, shape: tuple[int, ...], low: float, high: float) -> jax.Array:
    """Uniform numbers in `[low, high)`, float32: those of `jax.random.uniform` with these bounds, up to rounding."""

    def from_bits(data):
        return _uniform(_bits(data, shape), low, high)

    return _choose(key, shape, from_bits, lambda key: jax.random.uniform(key, shape, jnp.float32, low, high))


def _choose(key: jax.Array, shape: tuple[int, ...], from_bits: Callable, by_jax: Callable) -> jax.Array:
    is_default = str(jax.random.key_impl(key)) == "threefry2x32" and jax.config.jax_threefry_partitionable
    data = jax.random.key_data(key)
    if not is_default or math.prod(shape) > 2**32 or data.ndim != 1:  # several keys, which JAX refuses
        return by_jax(key)

    def elsewhere(data):
        return by_jax(jax.random.wrap_key_data(data, impl="threefry2x32"))

    return jax.lax.platform_dependent(data, cpu=from_bits, default=elsewhere)


def _bits(data: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """What `jax.random.bits` draws of the key data `[2]`, uint32."""
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    high = jnp.zeros_like(low)  # of at most 2^32 numbers
    keys = (data[0], data[1], data[0] ^ data[1] ^ _PARITY)
    high, low = high + keys[0], low + keys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            high = high + low
            low = high ^ (low << np.uint32(distance) | low >> np.uint32(32 - distance))
        high, low = high + keys[(group + 1) % 3], low + (keys[(group + 2) % 3] + np.uint32(group + 1))
    return high ^ low


def _uniform(bits: jax.Array, low: float, high: float) -> jax.Array:
    """Numbers in `[low, high)` whose mantissas are the upper bits."""
    one = np.float32(1).view(np.uint32)
    unit = jax.lax.bitcast_convert_type(bits >> np.uint32(32 - _MANTISSA_BITS) | one, jnp.float32) - 1
    return jnp.maximum(np.float32(low), unit * (np.float32(high) - np.float32(low)) + np.float32(low))
