"""Bures distances between structured matrices: diagonal, and low rank plus diagonal."""

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks, linalg
from buresgan_jax.distances.bures import squared_bures_of_pair
from buresgan_jax.distances.linalg import matmul
from buresgan_jax.distances.public import Array, jit


@jit
def squared_bures_distance_of_diagonals(variances_x: Array, variances_y: Array) -> jax.Array:
    """Computes the squared Bures distance between diagonal matrices: the squared difference of standard deviations.

    Args:
        variances_x: Diagonal entries, at least 0, shape `[..., dim]`, floating dtype.
        variances_y: Same dim and dtype; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype. Cost O(dim). A variance of 0 gets no gradient; the true gradient is infinite there.

    Raises:
        ValueError: The dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.
    """
    checks.check_same_dtype(variances_x=variances_x, variances_y=variances_y)
    for name, array in (("variances_x", variances_x), ("variances_y", variances_y)):
        checks.check_last_axis(name, array, variances_y.shape[-1] if variances_y.ndim else 1, "the diagonal")

    def of_pair(variances_x, variances_y):
        return jnp.sum((linalg.safe_sqrt(variances_x) - linalg.safe_sqrt(variances_y)) ** 2)

    return linalg.over_leading_axes(of_pair, "(d),(d)->()", variances_x, variances_y)


@jit
def squared_bures_distance_low_rank(
    factor_x: Array, diagonal_x: Array, factor_y: Array, diagonal_y: Array
) -> jax.Array:
    r"""Computes the squared Bures distance between matrices of the form low rank plus diagonal.

    The matrices are :math:`A = F^T F + \mathrm{diag}(a)` and :math:`B = R^T R + \mathrm{diag}(b)`. If both diagonals
    are multiples of the identity, it works in the span of the rows of F and R and forms no `[dim, dim]` matrix.

    Args:
        factor_x: Factor F, shape `[..., k, dim]`, floating dtype.
        diagonal_x: Diagonal a, at least 0, shape `[..., dim]`, or `[..., 1]` for a multiple of the identity.
        factor_y: Factor R, shape `[..., l, dim]`.
        diagonal_y: Diagonal b, with the same shapes as `diagonal_x`.

    Returns:
        Shape `[...]`, same dtype.

    Raises:
        ValueError: The shapes do not match.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost O((k + l)^2 dim + (k + l)^3) if both diagonals have one entry and k + l < dim, O(dim^3) otherwise. The
        precision is that of `squared_bures_distance`. Twice differentiable.
    """
    checks.check_features(factor_x=factor_x, factor_y=factor_y)
    checks.check_same_dtype(factor_x=factor_x, diagonal_x=diagonal_x, diagonal_y=diagonal_y)
    dim = factor_x.shape[-1]
    for name, diagonal in (("diagonal_x", diagonal_x), ("diagonal_y", diagonal_y)):
        if diagonal.ndim < 1 or diagonal.shape[-1] not in (1, dim):
            raise ValueError(f"{name} must have shape [..., {dim}] or [..., 1], got shape {diagonal.shape}.")
    isotropic = diagonal_x.shape[-1] == diagonal_y.shape[-1] == 1
    reduced = isotropic and factor_x.shape[-2] + factor_y.shape[-2] < dim
    of_pair = _low_rank_in_span if reduced else _low_rank_dense
    signature = "(k,d),(a),(l,d),(b)->()"
    return linalg.over_leading_axes(of_pair, signature, factor_x, diagonal_x, factor_y, diagonal_y)


def _low_rank_dense(factor_x, diagonal_x, factor_y, diagonal_y):
    def matrix(factor, diagonal):
        return matmul(factor.T, factor) + jnp.diag(jnp.broadcast_to(diagonal, factor.shape[1:]))

    return squared_bures_of_pair(matrix(factor_x, diagonal_x), matrix(factor_y, diagonal_y), "eigh")


def _low_rank_in_span(factor_x, diagonal_x, factor_y, diagonal_y):
    both = jnp.concatenate([factor_x, factor_y])
    # In the orthonormal basis C^T K^(-1/2) of their span, K = C C^T, the rows of C have the coordinates K^(1/2).
    coordinates = linalg.sqrtm(matmul(both, both.T))
    rows = factor_x.shape[0]
    inside = _low_rank_dense(coordinates[:rows], diagonal_x, coordinates[rows:], diagonal_y)
    gap = linalg.safe_sqrt(diagonal_x[0]) - linalg.safe_sqrt(diagonal_y[0])
    return inside + (both.shape[1] - both.shape[0]) * gap**2
