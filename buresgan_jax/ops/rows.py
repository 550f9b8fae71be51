"""Sums over the rows of a matrix, and their adjoint, a repeated row, fast on a CPU for any number of channels.

With many channels a CPU computes both as matrix products (`_cpu_rows.py`). So the derivative of each is fast too.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from buresgan_jax.ops import _cpu_rows
from buresgan_jax.ops._implementation import run

Implementation = Literal["auto", "plain", "cpu", "product"]


def sum_rows(rows: jax.Array, *, implementation: Implementation = "auto") -> jax.Array:
    """Sum over the rows.

    Args:
        rows: Shape `[rows, channels]`.
        implementation: "auto": the faster form on a CPU, the plain one elsewhere. "cpu" and "plain": these two on every
            platform. "product": a matrix product, for any number of channels.

    Returns:
        Shape `[channels]`, same dtype.

    Raises:
        ValueError: The implementation does not exist.
    """
    return _run(implementation, rows.shape[1], _sum, _cpu_rows.sum_rows, rows)


def repeat_row(row: jax.Array, num_rows: int, *, implementation: Implementation = "auto") -> jax.Array:
    """A matrix of equal rows.

    Args:
        row: Shape `[channels]`.
        num_rows: Number of rows.
        implementation: See `sum_rows`.

    Returns:
        Shape `[num_rows, channels]`, same dtype.

    Raises:
        ValueError: The implementation does not exist.
    """
    plain = functools.partial(_broadcast, num_rows=num_rows)
    product = functools.partial(_cpu_rows.repeat_row, num_rows=num_rows)
    return _run(implementation, row.size, plain, product, row)


def _sum(rows: jax.Array) -> jax.Array:
    return rows.sum(0)


def _broadcast(row: jax.Array, num_rows: int) -> jax.Array:
    return jnp.broadcast_to(row, (num_rows, row.size))


def _run(implementation: str, num_channels: int, plain: Callable, product: Callable, array: jax.Array) -> jax.Array:
    cpu = product if _cpu_rows.is_worth_it(num_channels) else plain
    return run(implementation, {"plain": plain, "cpu": cpu, "product": product}, array)
