"""Distances between covariance matrices, and between the covariances of two batches of features.

Notation: `cov_x`, `cov_y` are symmetric positive semidefinite `[..., dim, dim]`; `x`, `y` are batches of feature
vectors `[..., n, dim]` and `[..., m, dim]`, one example a row. Leading axes broadcast. "squared" is in the name of
every squared distance. Everything is pure, jitted, differentiable in both arguments, and works in float32 and float64.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from buresgan_jax import linalg

Scale = Literal["mean", "sum"]
FeatureMethod = Literal["svd", "eigh"]


def _check_covariances(cov_x, cov_y):
    linalg.check_square("cov_x", cov_x)
    linalg.check_square("cov_y", cov_y)
    if cov_x.shape[-1] != cov_y.shape[-1]:
        raise ValueError(
            f"cov_x and cov_y must have equal dim, got shapes {cov_x.shape} and {cov_y.shape}. "
            "Compute both from features of the same layer."
        )
    _check_dtypes("cov_x", cov_x, "cov_y", cov_y)


def _check_dtypes(name_x, x, name_y, y):
    if x.dtype != y.dtype:
        raise TypeError(
            f"{name_x} and {name_y} must have equal dtypes, got {x.dtype} and {y.dtype}. Convert one of them."
        )


@jax.jit
def squared_bures_distance(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    r"""Squared Bures distance between two positive semidefinite matrices.

    Computes :math:`\mathrm{tr} A + \mathrm{tr} B - 2\,\mathrm{tr}(A^{1/2} B A^{1/2})^{1/2}`, the squared 2-Wasserstein
    distance between centred Gaussians with covariances A and B, as the Procrustes residual
    :math:`\min_Q \|A^{1/2} - Q B^{1/2}\|_F^2` over orthogonal Q, which is never negative and does not cancel at A = B.

    Args:
        cov_x: symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: same dim and dtype as `cov_x`; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype, in squared units of the features. At least 0.

    Raises:
        ValueError: the matrices are not square, or their dims differ.
        TypeError: not floating, or the dtypes differ.

    Note:
        Symmetry and definiteness are not checked: the symmetric part is used, negative eigenvalues count as zero. The
        gradient is :math:`I - T`, T the optimal transport map; for singular input, where the true one-sided derivative
        can be infinite, directions below rounding are left out (a pseudo-inverse), so it is always finite. Exact at
        repeated eigenvalues; twice differentiable in forward and reverse mode. Cost: two `eigh` and one SVD, O(dim^3).
        In float32 and ill-conditioned input the roots carry an error of up to sqrt(eps) of the traces; from features
        use `squared_bures_distance_from_features`, which never squares them. Safe under jit, vmap, grad and pmap.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. Differs from its code in computing the exact root, in any dtype.
    """
    _check_covariances(cov_x, cov_y)
    roots = linalg.sqrtm(cov_x), linalg.sqrtm(cov_y)
    return linalg.over_leading_axes(linalg.procrustes_residual, "(d,d),(d,d)->()", *roots)


@jax.jit
def bures_distance(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    """Bures distance between two positive semidefinite matrices: the root of `squared_bures_distance`.

    A metric: symmetric, zero only for equal matrices, with the triangle inequality. Its gradient at distance zero is
    not unique; the one returned is zero. As a training penalty prefer the square, whose gradient is smooth there.

    Args:
        cov_x: symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: same dim and dtype as `cov_x`; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype, in units of the features. At least 0.

    Raises:
        ValueError: the matrices are not square, or their dims differ.
        TypeError: not floating, or the dtypes differ.
    """
    return linalg.safe_sqrt(squared_bures_distance(cov_x, cov_y))


def prepare_features(features: jax.Array, *, centre: bool = True, normalise: bool = False, scale: Scale) -> jax.Array:
    """Centres, row-normalises and scales a batch, so that `F^T F` is the wanted second-moment matrix.

    Args:
        features: `[..., n, dim]`, floating dtype.
        centre: subtract the mean of the batch.
        normalise: afterwards divide each row by its length, with a floor of 1e-6 on the length: a row of zeros stays
            zero, with a finite gradient.
        scale: `"mean"` divides the second moments by n, `"sum"` leaves the sum.

    Returns:
        Same shape and dtype.
    """
    if scale not in ("mean", "sum"):
        raise ValueError(f"scale must be 'mean' or 'sum', got {scale!r}.")
    if centre:
        features = features - jnp.mean(features, axis=-2, keepdims=True)
    if normalise:
        squared_norms = jnp.sum(features**2, axis=-1, keepdims=True)
        features = features * jax.lax.rsqrt(jnp.maximum(squared_norms, 1e-12))
    return features / jnp.sqrt(features.shape[-2]).astype(features.dtype) if scale == "mean" else features


def _prepare_pair(x, y, **options):
    for name, batch in (("x", x), ("y", y)):
        if batch.ndim < 2 or batch.shape[-2] == 0:
            raise ValueError(
                f"{name} must be a non-empty batch of feature vectors [..., n, dim], got shape {batch.shape}. "
                f"Flatten each example first: {name}.reshape(len({name}), -1)."
            )
        linalg.check_floating(name, batch)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"x and y must have equal feature dim, got shapes {x.shape} and {y.shape}. "
            "Take both from the same layer; only their numbers of rows may differ."
        )
    _check_dtypes("x", x, "y", y)
    return prepare_features(x, **options), prepare_features(y, **options)


@functools.partial(jax.jit, static_argnames=("centre", "normalise", "scale", "method", "rtol"))
def squared_bures_distance_from_features(
    x: jax.Array,
    y: jax.Array,
    *,
    centre: bool = True,
    normalise: bool = False,
    scale: Scale = "mean",
    method: FeatureMethod = "svd",
    rtol: float | None = None,
) -> jax.Array:
    r"""Squared Bures distance between the covariances of two batches of features.

    With the prepared batches F and R it is :math:`\|F\|_F^2 + \|R\|_F^2 - 2 \|F R^T\|_*` (nuclear norm), evaluated as
    the Procrustes residual :math:`\min_Q \|F - Q R\|_F^2`, by one
    decomposition in the smaller of batch and feature space.

    Args:
        x: features of one batch, shape `[..., n, dim]`, floating dtype.
        y: features of the other, shape `[..., m, dim]`; n and m may differ, leading axes broadcast.
        centre: subtract each batch's own mean (a covariance); False gives uncentred second moments.
        normalise: divide each (centred) row by its length, as BuresGAN does. Lengths below 1e-6 are divided by 1e-6.
        scale: `"mean"` compares covariances divided by n and m; `"sum"` the sums of outer products (the authors').
        method: `"svd"` never squares the features: accurate to 2e-7 of the traces in float32. `"eigh"` works on the
            eigenvalues of the squared cross matrix, for training: about half the time, singular values of `F R^T`
            below `rtol` are lost (an error of up to `2 k rtol` times the largest of them).
        rtol: singular values of `F R^T` below `rtol` times the largest give no gradient (a valid subgradient). Default:
            max(n, m, dim) * eps of the dtype for `"svd"`, 3 * sqrt(eps) for `"eigh"` (1e-3 in float32).

    Returns:
        Shape `[...]`, same dtype. At least 0. Squared units of the features times 1 (mean) or batch size (sum).

    Raises:
        ValueError: fewer than two axes, an empty batch, feature dims that differ, an unknown scale or method.
        TypeError: not floating, or the dtypes differ.

    Note:
        Cost O(k^3 + (n + m) dim k) with k = min(n, m, dim). The gradient is `2 (F - Q R)`, bounded everywhere; a batch
        whose rows are all equal has a finite value and gradient. Twice differentiable.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. The authors' loss is `centre=True, normalise=True, scale="sum"`.
    """
    x, y = _prepare_pair(x, y, centre=centre, normalise=normalise, scale=scale)
    if method not in ("svd", "eigh"):
        raise ValueError(f"method must be 'svd' or 'eigh', got {method!r}.")
    residual = functools.partial(linalg.procrustes_residual, rtol=rtol, fast=method == "eigh")
    return linalg.over_leading_axes(residual, "(n,d),(m,d)->()", x, y)


@jax.jit
def squared_frobenius_distance(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    """Squared Frobenius distance between two matrices, the sum of squared differences of their entries.

    Args:
        cov_x: shape `[..., dim, dim]`, floating dtype.
        cov_y: same dim and dtype as `cov_x`; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype, in fourth powers of the units of the features.

    Raises:
        ValueError: the matrices are not square, or their dims differ.
        TypeError: not floating, or the dtypes differ.
    """
    _check_covariances(cov_x, cov_y)
    return linalg.over_leading_axes(lambda a, b: jnp.sum((a - b) ** 2), "(d,d),(d,d)->()", cov_x, cov_y)


@jax.jit
def frobenius_distance(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    """Frobenius distance between two matrices; the gradient at zero distance is zero. See the squared form."""
    return linalg.safe_sqrt(squared_frobenius_distance(cov_x, cov_y))


@functools.partial(jax.jit, static_argnames=("centre", "normalise", "scale"))
def squared_frobenius_distance_from_features(
    x: jax.Array, y: jax.Array, *, centre: bool = True, normalise: bool = False, scale: Scale = "mean"
) -> jax.Array:
    r"""Squared Frobenius distance between the covariances of two batches of features.

    Where dim exceeds a batch it uses
    :math:`\|F^T F - R^T R\|^2 = \|F F^T\|^2 + \|R R^T\|^2 - 2 \|F R^T\|^2`, so that no `[dim, dim]` matrix is formed.

    Args:
        x: features of one batch, shape `[..., n, dim]`, floating dtype.
        y: features of the other, shape `[..., m, dim]`; n and m may differ, leading axes broadcast.
        centre: see `squared_bures_distance_from_features`.
        normalise: see `squared_bures_distance_from_features`.
        scale: see `squared_bures_distance_from_features`.

    Returns:
        Shape `[...]`, same dtype. At least 0. In the batch-space form equal inputs give zero only up to rounding (eps
        times the squared norms).

    Raises:
        ValueError: fewer than two axes, an empty batch, feature dims that differ, an unknown scale.
        TypeError: not floating, or the dtypes differ.

    Note:
        Cost O((n + m) dim min(dim, n + m)).
    """
    x, y = _prepare_pair(x, y, centre=centre, normalise=normalise, scale=scale)
    return linalg.over_leading_axes(_frobenius_of_rows, "(n,d),(m,d)->()", x, y)


def _frobenius_of_rows(x, y):
    if x.shape[1] <= max(x.shape[0], y.shape[0]):
        return jnp.sum((linalg.matmul(x.T, x) - linalg.matmul(y.T, y)) ** 2)
    own = jnp.sum(linalg.matmul(x, x.T) ** 2) + jnp.sum(linalg.matmul(y, y.T) ** 2)
    return jnp.maximum(own - 2 * jnp.sum(linalg.matmul(x, y.T) ** 2), 0)
