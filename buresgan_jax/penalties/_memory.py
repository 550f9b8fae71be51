"""Memories of terms: what a term keeps of earlier moves, such as a ring buffer of codes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Memory(NamedTuple):
    """How a term remembers earlier moves. Its arrays are an entry of the state's `buffers`, under the term's name.

    Attributes:
        empty: `outputs -> arrays` before the first step. It gets the `StepOutputs` of two samples, of which only
            shapes and dtypes are known.
        push: `(arrays, outputs) -> arrays` after each move of the term's player. It gets the outputs on the global
            batch before the move, so that the arrays are equal on all devices.
    """

    empty: Callable[[Any], Any]
    push: Callable[[Any, Any], Any]


class Ring(NamedTuple):
    """A buffer of the last rows.

    Attributes:
        rows: The rows, `[capacity, dim]`. The first `count` are filled, the others are 0.
        pointer: Where the next row goes, int32 scalar. In a full buffer, the oldest row lies there.
        count: Number of filled rows, int32 scalar.
    """

    rows: jax.Array
    pointer: jax.Array
    count: jax.Array


def empty_ring(capacity: int, dim: int, dtype: Any = jnp.float32) -> Ring:
    """Returns a ring buffer without rows."""
    return Ring(jnp.zeros((capacity, dim), dtype), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def push(ring: Ring, rows: jax.Array) -> Ring:
    """Puts rows in the place of the oldest ones.

    Args:
        ring: The buffer.
        rows: New rows, `[n, dim]`, the oldest first. Of more than `capacity` rows, the last ones are kept.

    Returns:
        The buffer, without a gradient to the rows.
    """
    capacity = len(ring.rows)
    rows = jax.lax.stop_gradient(rows)[-capacity:]
    places = (ring.pointer + jnp.arange(len(rows))) % capacity
    count = jnp.minimum(ring.count + len(rows), capacity)
    return Ring(ring.rows.at[places].set(rows), (ring.pointer + len(rows)) % capacity, count)


def ring_memory(capacity: int, select: Callable[[Any], jax.Array]) -> Memory:
    """Returns the memory that keeps the last `capacity` rows of an array `[n, dim]` of the outputs."""

    def empty(outputs):
        like = select(outputs)
        return empty_ring(capacity, like.shape[-1], like.dtype)

    return Memory(empty, lambda ring, outputs: push(ring, select(outputs)))
