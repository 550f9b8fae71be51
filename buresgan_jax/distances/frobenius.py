"""Frobenius distances."""

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks, linalg
from buresgan_jax.distances.features import prepare_pair
from buresgan_jax.distances.methods import Scale
from buresgan_jax.distances.public import Array, jit


@jit
def squared_frobenius_distance(cov_x: Array, cov_y: Array) -> jax.Array:
    """Computes the squared Frobenius distance between two matrices, the sum of squared differences of their entries.

    Args:
        cov_x: Covariance matrix, shape `[..., dim, dim]`, floating dtype.
        cov_y: Same dim and dtype as `cov_x`; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype, in fourth powers of the units of the features.

    Raises:
        ValueError: The matrices are not square, or their dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    return linalg.over_leading_axes(lambda a, b: jnp.sum((a - b) ** 2), "(d,d),(d,d)->()", cov_x, cov_y)


@jit
def frobenius_distance(cov_x: Array, cov_y: Array) -> jax.Array:
    """Computes the Frobenius distance between two matrices. Its gradient at distance zero is zero.

    Arguments and errors are those of `squared_frobenius_distance`.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    return linalg.over_leading_axes(lambda a, b: linalg.length(a - b), "(d,d),(d,d)->()", cov_x, cov_y)


@jit
def squared_frobenius_distance_from_features(
    x: Array, y: Array, *, center: bool = True, normalize: bool = False, scale: Scale = "mean"
) -> jax.Array:
    r"""Computes the squared Frobenius distance between the covariances of two batches of features.

    If dim is larger than both batches, it uses
    :math:`\|F^T F - R^T R\|^2 = \|F F^T\|^2 + \|R R^T\|^2 - 2 \|F R^T\|^2`, so that no `[dim, dim]` matrix is formed.

    Args:
        x: Features of one batch, shape `[..., n, dim]`, floating dtype.
        y: Features of the other batch, shape `[..., m, dim]`; n and m may differ, leading axes broadcast.
        center: See `squared_bures_distance_from_features`.
        normalize: See `squared_bures_distance_from_features`.
        scale: See `squared_bures_distance_from_features`.

    Returns:
        Shape `[...]`, same dtype. At least 0. In the batch-space form equal inputs give zero only up to rounding (eps
        times the squared norms).

    Raises:
        ValueError: An array has fewer than two axes, a batch is empty, the feature dims differ, or the scale is
            unknown.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost O((n + m) dim min(dim, n + m)).
    """
    x, y = prepare_pair(x, y, center=center, normalize=normalize, scale=scale)
    return linalg.over_leading_axes(_frobenius_of_rows, "(n,d),(m,d)->()", x, y)


def _frobenius_of_rows(x, y):
    if x.shape[1] <= max(x.shape[0], y.shape[0]):
        return jnp.sum((linalg.matmul(x.T, x) - linalg.matmul(y.T, y)) ** 2)
    own = jnp.sum(linalg.matmul(x, x.T) ** 2) + jnp.sum(linalg.matmul(y, y.T) ** 2)
    return jnp.maximum(own - 2 * jnp.sum(linalg.matmul(x, y.T) ** 2), 0)
