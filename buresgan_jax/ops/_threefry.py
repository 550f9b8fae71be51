"""The numbers of `jax.random.normal` and `uniform` in one pass, on a CPU: Threefry with its rounds written out.

JAX writes the rounds of Threefry as a loop for CPUs, which compiles faster. That takes five passes over the memory, and
one more for the conversion. Rounds that are written out are one kernel together with the conversion.

Gain: 0.29 ms instead of 0.79 for [256, 256] normal numbers, and 0.17 instead of 0.41 for [256, 100] (two cores of an
Intel Xeon; docs/results/steps_cpu.md).

Source: Salmon, Moraes, Dror, Shaw 2011, Parallel random numbers: as easy as 1, 2, 3,
https://doi.org/10.1145/2063384.2063405. The blocks are JAX's ("partitionable"): a block is the high and the low word of
a number's index, and the bits are the exclusive or of both words of the result.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_MANTISSA_BITS = 23
_LOWEST = float(np.nextafter(np.float32(-1), np.float32(0)))  # its inverse error function is finite


def has_numbers(key: jax.Array, shape: tuple[int, ...]) -> bool:
    """Whether the numbers of JAX for this key and shape are those of this file."""
    is_default = str(jax.random.key_impl(key)) == "threefry2x32" and jax.config.jax_threefry_partitionable
    is_one = jax.random.key_data(key).ndim == 1  # JAX refuses several
    return is_default and is_one and math.prod(shape) <= 2**32


def normal(key: jax.Array, *, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal numbers, float32."""
    return np.float32(math.sqrt(2)) * jax.lax.erf_inv(uniform(key, shape=shape, low=_LOWEST, high=1.0))


def uniform(key: jax.Array, *, shape: tuple[int, ...], low: float, high: float) -> jax.Array:
    """Uniform numbers in `[low, high)`, float32: their mantissas are the upper bits."""
    one = np.float32(1).view(np.uint32)
    mantissas = bits(key, shape) >> np.uint32(32 - _MANTISSA_BITS)
    unit = jax.lax.bitcast_convert_type(mantissas | one, jnp.float32) - 1
    return jnp.maximum(np.float32(low), unit * (np.float32(high) - np.float32(low)) + np.float32(low))


def bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random bits, uint32: those of `jax.random.bits`."""
    data = jax.random.key_data(key)
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    high = jnp.zeros_like(low)  # there are at most 2^32 numbers
    keys = (data[0], data[1], data[0] ^ data[1] ^ _PARITY)
    high, low = high + keys[0], low + keys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            high = high + low
            low = high ^ (low << np.uint32(distance) | low >> np.uint32(32 - distance))
        high, low = high + keys[(group + 1) % 3], low + (keys[(group + 2) % 3] + np.uint32(group + 1))
    return high ^ low
