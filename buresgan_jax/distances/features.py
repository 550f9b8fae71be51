"""Bures distances between the covariances of two batches of features. The covariances are never formed."""

import functools
from typing import get_args

import jax
import jax.numpy as jnp

from buresgan_jax.distances import alignment, checks, linalg
from buresgan_jax.distances.bures import authors_fidelity
from buresgan_jax.distances.linalg import matmul
from buresgan_jax.distances.methods import METHODS, Method, Scale, by_platform
from buresgan_jax.distances.public import Array, in_float32, jit

_SHORTEST_ROW = 1e-6  # what a shorter row is divided by


@in_float32
def prepare_features(
    features: Array,
    weights: Array | None = None,
    *,
    center: bool = True,
    normalize: bool = False,
    scale: Scale,
) -> jax.Array:
    """Centers, row-normalizes, weights and scales a batch, so that `F^T F` is the requested second-moment matrix.

    Args:
        features: Batch of features, `[..., n, dim]`, floating dtype.
        weights: Weights of the examples, at least 0, `[..., n]`. Default: all one.
        center: Whether to subtract the (weighted) mean of the batch.
        normalize: Whether to divide each (centered) row by its length. The length has a floor of 1e-6: a row of zeros
            stays zero and has a finite gradient.
        scale: `"mean"` divides the second moments by the sum of the weights (n without weights); `"sum"` does not.

    Returns:
        Same shape and dtype.
    """
    checks.check_choice("scale", scale, get_args(Scale))
    n = features.shape[-2]
    if weights is not None:
        total = jnp.sum(weights, axis=-1)[..., None, None]
        total = jnp.where(total > 0, total, 1)
        weights = weights[..., None]
    if center:  # the sum of what is divided already: sums of the largest numbers overflow
        features = features - jnp.sum(
            features / n if weights is None else weights / total * features, -2, keepdims=True
        )
    if normalize:
        # Squares of the largest numbers overflow. A power of two for each row is exact, and a constant for derivatives.
        peaks = jnp.max(jnp.abs(jax.lax.stop_gradient(features)), axis=-1, keepdims=True)
        unit = linalg.power_of_two(jnp.frexp(jnp.maximum(peaks, _SHORTEST_ROW))[1] - 1, features.dtype)
        features = features / unit
        squared_norms = jnp.sum(features**2, axis=-1, keepdims=True)
        features = features * jax.lax.rsqrt(jnp.maximum(squared_norms, (_SHORTEST_ROW / unit) ** 2))
    if weights is None:
        return features / jnp.sqrt(n).astype(features.dtype) if scale == "mean" else features
    return features * linalg.safe_sqrt(weights / total if scale == "mean" else weights)


def prepare_pair(x, y, weights_x=None, weights_y=None, **options):
    """Checks two batches with their weights and prepares each. The options are those of `prepare_features`."""
    checks.check_features(x=x, y=y)
    for name, weights, batch in (("weights_x", weights_x, x), ("weights_y", weights_y, y)):
        if weights is not None:
            checks.check_last_axis(name, weights, batch.shape[-2], "one for each row")
            checks.check_same_dtype(x=x, **{name: weights})
    x, weights_x = _same_rank(x, weights_x)
    y, weights_y = _same_rank(y, weights_y)
    return prepare_features(x, weights_x, **options), prepare_features(y, weights_y, **options)


def _same_rank(batch, weights):
    """Gives both the same number of leading axes, because implicit rank promotion may be forbidden."""
    if weights is None:
        return batch, None
    rank = max(batch.ndim - 2, weights.ndim - 1)
    batch = batch.reshape((1,) * (rank + 2 - batch.ndim) + batch.shape)
    return batch, weights.reshape((1,) * (rank + 1 - weights.ndim) + weights.shape)


@jit
def squared_bures_distance_from_features(
    x: Array,
    y: Array,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
    *,
    center: bool = True,
    normalize: bool = False,
    scale: Scale = "mean",
    method: Method = "svd",
    rtol: float | None = None,
) -> jax.Array:
    r"""Computes the squared Bures distance between the covariances of two batches of features.

    For the prepared batches F and R it is :math:`\|F\|_F^2 + \|R\|_F^2 - 2 \|F R^T\|_*` (nuclear norm), computed as the
    Procrustes residual :math:`\min_Q \|F - Q R\|_F^2` with one decomposition in the smaller of batch and feature space.

    Args:
        x: Features of one batch, shape `[..., n, dim]`, floating dtype.
        y: Features of the other batch, shape `[..., m, dim]`; n and m may differ, leading axes broadcast.
        weights_x: Weights of the rows of x, at least 0, shape `[..., n]`, same dtype. Default: all one. A weight of
            exactly 0 gets no gradient through its row, although the true gradient is finite: start from small positive
            weights.
        weights_y: Weights of the rows of y, shape `[..., m]`.
        center: Whether to subtract each batch's own (weighted) mean, which gives covariances; False gives uncentered
            second moments.
        normalize: Whether to divide each (centered) row by its length, as BuresGAN does. Rows with lengths below 1e-6
            are divided by 1e-6.
        scale: `"mean"` compares covariances divided by the sum of the weights (n and m without weights); `"sum"`
            compares the sums of outer products, as the authors do.
        method: `"svd"` never squares the features and is accurate to 2e-7 of the traces in float32. `"eigh"` uses the
            eigenvalues of the squared cross matrix and is meant for training: it takes about half the time, keeps half
            the digits and loses singular values of `F R^T` below `rtol` (an error of up to `2 k rtol` times the
            largest). `"newton_schulz"` uses matrix products (and a QR if a batch has more rows than dim), for GPU and
            TPU. `"newton_schulz_15"` is the authors' truncated iteration. `"auto"` chooses by platform and size.
        rtol: Singular values of `F R^T` below `rtol` times the largest give no gradient (a valid subgradient). Default:
            4 sqrt(min(n, m, dim)) eps of the dtype for `"svd"`, 3 * sqrt(eps) for `"eigh"` (1e-3 in float32).

    Returns:
        Shape `[...]`, same dtype. At least 0, except with `"newton_schulz_15"`. In squared units of the features, times
        the batch size for `scale="sum"`.

    Raises:
        ValueError: An array has fewer than two axes, a batch is empty, the feature dims differ, or the scale or method
            is unknown.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost O(k^3 + (n + m) dim k) with k = min(n, m, dim). The gradient is `2 (F - Q R)` and is bounded everywhere; a
        batch of equal rows has a finite value and gradient. Twice differentiable. Derivatives never go through an
        iteration, except with `"newton_schulz_15"`.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. The authors' loss is `center=True, normalize=True, scale="sum"`.
    """
    x, y = prepare_pair(x, y, weights_x, weights_y, center=center, normalize=normalize, scale=scale)
    checks.check_choice("method", method, METHODS)
    of_rows = functools.partial(_squared_bures_of_rows, method=method, rtol=rtol)
    return linalg.over_leading_axes(of_rows, "(n,d),(m,d)->()", x, y)


def _squared_bures_of_rows(x, y, method, rtol):
    if method == "auto":
        size = min(*x.shape, y.shape[0])
        return by_platform(functools.partial(_squared_bures_of_rows, rtol=rtol), size, "svd", x, y)
    exponent = linalg.unit_exponent(x, y)
    function = functools.partial(_squared_bures_of_scaled_rows, method=method, rtol=rtol)
    return linalg.homogeneous(function, (2, 0), (exponent, exponent), x, y)


def _squared_bures_of_scaled_rows(x, y, method, rtol):
    if method == "newton_schulz_15":
        exponents = linalg.unit_exponent(x), linalg.unit_exponent(y)
        fidelity = linalg.homogeneous(_authors_fidelity_of_rows, (1, 1), exponents, x, y)
        return jnp.sum(x**2) + jnp.sum(y**2) - 2 * fidelity
    return alignment.residual(x, y, alignment.find_rotation(x, y, method, rtol))


def _authors_fidelity_of_rows(x, y):
    if x.shape[1] < min(x.shape[0], y.shape[0]):
        return authors_fidelity(matmul(matmul(x.T, x), matmul(y.T, y)))
    cross = matmul(x, y.T)
    return authors_fidelity(matmul(cross, cross.T))


@jit
def bures_distance_from_features(
    x: Array,
    y: Array,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
    *,
    center: bool = True,
    normalize: bool = False,
    scale: Scale = "mean",
    method: Method = "svd",
    rtol: float | None = None,
) -> jax.Array:
    """Computes the Bures distance between the covariances of two batches of features.

    It is the root of `squared_bures_distance_from_features` and has the same arguments, errors and cost. The gradient
    at distance zero is zero.
    """
    x, y = prepare_pair(x, y, weights_x, weights_y, center=center, normalize=normalize, scale=scale)
    checks.check_choice("method", method, METHODS)

    def of_rows(x, y):
        exponent = linalg.unit_exponent(x, y)
        root = lambda x, y: linalg.safe_sqrt(_squared_bures_of_rows(x, y, method, rtol))  # noqa: E731
        return linalg.homogeneous(root, (1, 0), (exponent, exponent), x, y)

    return linalg.over_leading_axes(of_rows, "(n,d),(m,d)->()", x, y)
