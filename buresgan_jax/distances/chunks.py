"""Functions of the rows of a batch that need much memory, computed a chunk of rows at a time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

_ENTRIES = 2**21  # of a matrix of pairs at a time


def map_rows(
    function: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array, *, num_columns: int, chunk_size: int | None
) -> jax.Array:
    """Applies a function to chunks of rows and joins the results.

    The derivative computes each chunk again, so that its memory is that of one chunk too.

    Args:
        function: Function `(rows [k, dim], index [k]) -> [k]` of rows of x and their numbers.
        x: Shape `[n, dim]`.
        num_columns: Numbers that the function holds for a row, for the default of `chunk_size`.
        chunk_size: Rows at a time. Default: as many as make 2 million numbers.

    Returns:
        Shape `[n]`.
    """
    rows, index = chunk_size or max(1, _ENTRIES // num_columns), jnp.arange(len(x))
    if len(x) <= rows:
        return function(x, index)
    function, whole = jax.checkpoint(function), len(x) // rows * rows
    chunks = (x[:whole].reshape(-1, rows, x.shape[1]), index[:whole].reshape(-1, rows))
    result = jax.lax.map(lambda chunk: function(*chunk), chunks).reshape(-1)
    return result if whole == len(x) else jnp.concatenate([result, function(x[whole:], index[whole:])])
