"""Buffers of rows that a method keeps in its state, such as codes of earlier batches."""

import jax
import jax.numpy as jnp


def push(buffer: jax.Array, rows: jax.Array) -> jax.Array:
    """Puts rows before those of a buffer and drops its oldest ones.

    On several devices, push the rows of the global batch (`moves.gather`): the buffer is equal on all of them.

    Args:
        buffer: Newest rows first, `[capacity, ...]`.
        rows: New rows, `[n, ...]`, without a gradient.

    Returns:
        The buffer, of the same capacity.
    """
    return jnp.concatenate([jax.lax.stop_gradient(rows), buffer])[: len(buffer)]
