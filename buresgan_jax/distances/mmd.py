"""The maximum mean discrepancy between two batches, its witness function, and mean kernel values."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks
from buresgan_jax.distances.chunks import map_rows
from buresgan_jax.distances.kernels import gaussian_kernel

Kernel = Callable[[jax.Array, jax.Array], jax.Array]


def mean_kernel(
    x: jax.Array, y: jax.Array | None = None, *, kernel: Kernel = gaussian_kernel, chunk_size: int | None = None
) -> jax.Array:
    """Computes the mean of a kernel over all pairs of rows: of x and y, or of two different rows of x.

    Args:
        x: Shape `[n, dim]`, float32 or float64; at least 2 rows without y.
        y: Shape `[m, dim]`, same dtype. Default: x itself, without the pairs of a row with itself.
        kernel: Function `(x [n, dim], y [m, dim]) -> [n, m]`, such as `gaussian_kernel`.
        chunk_size: Rows of x at a time. Default: as many as make 2 million kernel values.

    Returns:
        Scalar, same dtype.

    Raises:
        ValueError: An array does not have two axes, the dims differ, or x has a single row and there is no y.
        TypeError: A dtype is not a real floating one, or the dtypes differ.

    Note:
        Cost O(n m dim). The memory is that of one chunk, for the derivative too, which computes each chunk again.
    """
    if y is not None:
        checks.check_batches(x=x, y=y)
        return jnp.sum(_row_sums(x, y, kernel, chunk_size)) / (len(x) * len(y))
    checks.check_batches(x=x)
    if len(x) < 2:
        raise ValueError(f"x must have at least 2 rows, which make a pair; got shape {x.shape}.")
    return jnp.sum(_row_sums(x, x, kernel, chunk_size, skip_diagonal=True)) / (len(x) * (len(x) - 1))


def squared_mmd(
    x: jax.Array,
    y: jax.Array,
    *,
    kernel: Kernel = gaussian_kernel,
    unbiased: bool = True,
    chunk_size: int | None = None,
) -> jax.Array:
    """Computes the squared maximum mean discrepancy between the distributions of two batches.

    Args:
        x: Shape `[n, dim]`, float32 or float64.
        y: Shape `[m, dim]`, same dtype; n and m may differ.
        kernel: Function `(x [n, dim], y [m, dim]) -> [n, m]`. Use `functools.partial(gaussian_kernel, scales=...)` for
            another width.
        unbiased: Whether to leave out the pairs of a row with itself. The estimate is then unbiased, and may be
            negative. With them it is at least 0 for a positive definite kernel.
        chunk_size: See `mean_kernel`.

    Returns:
        Scalar, same dtype.

    Raises:
        ValueError: An array does not have two axes, the dims differ, or a batch has a single row and `unbiased`.
        TypeError: A dtype is not a real floating one, or the dtypes differ.

    Note:
        Cost O((n + m)^2 dim); see `mean_kernel` for the memory.

    References:
        Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
    """
    within = (mean_kernel(each, None if unbiased else each, kernel=kernel, chunk_size=chunk_size) for each in (x, y))
    return sum(within) - 2 * mean_kernel(x, y, kernel=kernel, chunk_size=chunk_size)


def mmd_witness(
    points: jax.Array,
    x: jax.Array,
    y: jax.Array,
    *,
    kernel: Kernel = gaussian_kernel,
    chunk_size: int | None = None,
) -> jax.Array:
    """Computes the witness function of the discrepancy: the mean kernel with x minus that with y, at each point.

    It is large where x has more mass than y.

    Args:
        points: Shape `[k, dim]`.
        x: Shape `[n, dim]`.
        y: Shape `[m, dim]`.
        kernel: See `squared_mmd`.
        chunk_size: Points at a time. Default: see `mean_kernel`.

    Returns:
        Shape `[k]`.

    Raises:
        ValueError: An array does not have two axes, or the dims differ.
        TypeError: A dtype is not a real floating one, or the dtypes differ.
    """
    checks.check_batches(points=points, x=x, y=y)
    means = (_row_sums(points, each, kernel, chunk_size) / len(each) for each in (x, y))
    return next(means) - next(means)


def _row_sums(x, y, kernel, chunk_size, skip_diagonal=False):
    """Sums of the kernel over y, `[n]`; at most `chunk_size` rows of x at a time."""

    def sums(rows, index):
        values = kernel(rows, y)
        if skip_diagonal:
            values = jnp.where(index[:, None] == jnp.arange(len(y))[None], 0, values)
        return jnp.sum(values, axis=1)

    return map_rows(sums, x, num_columns=len(y), chunk_size=chunk_size)
