"""Random numbers of `jax.random`, drawn in one pass on a CPU.

A CPU draws them by `_threefry.py`. Every other platform calls `jax.random`, and so does a CPU for keys of other
generators, for bits that are not "partitionable", and for more than 2^32 numbers.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from buresgan_jax.ops import _threefry
from buresgan_jax.ops._implementation import run

Implementation = Literal["auto", "plain", "cpu"]


@functools.partial(jax.jit, static_argnames=("shape", "implementation"))
def normal(key: jax.Array, shape: tuple[int, ...], *, implementation: Implementation = "auto") -> jax.Array:
    """Standard normal numbers: those of `jax.random.normal(key, shape)`, up to rounding.

    Args:
        key: A key, typed or not.
        shape: Shape of the result.
        implementation: "auto": the form of a CPU on a CPU, and `jax.random` elsewhere. "cpu" and "plain": these two on
            every platform.

    Returns:
        The numbers, float32.

    Raises:
        ValueError: The implementation does not exist.
    """
    plain = functools.partial(jax.random.normal, shape=shape, dtype=jnp.float32)
    return _draw(implementation, key, shape, plain, functools.partial(_threefry.normal, shape=shape))


@functools.partial(jax.jit, static_argnames=("shape", "low", "high", "implementation"))
def uniform(
    key: jax.Array, shape: tuple[int, ...], low: float, high: float, *, implementation: Implementation = "auto"
) -> jax.Array:
    """Uniform numbers in `[low, high)`: those of `jax.random.uniform` with these bounds, up to rounding.

    Args:
        key: A key, typed or not.
        shape: Shape of the result.
        low: Lower bound.
        high: Upper bound.
        implementation: See `normal`.

    Returns:
        The numbers, float32.

    Raises:
        ValueError: The implementation does not exist.
    """
    plain = functools.partial(jax.random.uniform, shape=shape, dtype=jnp.float32, minval=low, maxval=high)
    cpu = functools.partial(_threefry.uniform, shape=shape, low=low, high=high)
    return _draw(implementation, key, shape, plain, cpu)


def normal_rows(
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    axis_name: str | None = None,
    implementation: Implementation = "auto",
) -> jax.Array:
    """This device's rows of standard normal numbers that are drawn for the global batch.

    The devices of an axis draw together what one device would draw for all rows. Each keeps its own rows.

    Args:
        key: A key, the same one on every device.
        shape: Shape of this device's rows, `[rows, ...]`.
        axis_name: Mapped axis of the devices. By default there is one device.
        implementation: See `normal`.

    Returns:
        The numbers, float32.

    Raises:
        ValueError: The implementation does not exist.
    """
    num_devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    rows = normal(key, (shape[0] * num_devices, *shape[1:]), implementation=implementation)
    return own_rows(rows, axis_name)


def own_rows(array: jax.Array, axis_name: str | None) -> jax.Array:
    """This device's rows of an array over the global batch.

    Args:
        array: An array that all devices have, `[devices * rows, ...]`.
        axis_name: Mapped axis of the devices; None on one device.

    Returns:
        Shape `[rows, ...]`.
    """
    if axis_name is None:
        return array
    num_rows = array.shape[0] // jax.lax.axis_size(axis_name)
    return jax.lax.dynamic_slice_in_dim(array, jax.lax.axis_index(axis_name) * num_rows, num_rows)


def _draw(implementation: str, key: jax.Array, shape: tuple[int, ...], plain: Callable, cpu: Callable) -> jax.Array:
    cpu = cpu if _threefry.has_numbers(key, shape) else plain
    return run(implementation, {"plain": plain, "cpu": cpu}, key)
