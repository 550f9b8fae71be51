"""Vendi score: the effective number of different examples in one set."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from buresgan_jax.metrics import inputs
from buresgan_jax.metrics.moments import GaussianStatistics


def vendi_score(features: ArrayLike, *, order: float = 1.0) -> float:
    """Computes the Vendi score with the cosine similarity of features.

    Args:
        features: Features, shape `[n, dim]`; no row may be zero.
        order: Order of the entropy of the spectrum, above 0. 1 is Shannon's; `inf` uses only the largest eigenvalue.

    Returns:
        The score, between 1 (all examples equal) and `min(n, dim)`. It grows with n: compare only values of equal n.

    Raises:
        ValueError: There are no examples, a value is not finite, a row is zero, or the order is not positive.

    Note:
        Float64. Cost: one product and the eigenvalues of the smaller of the `[n, n]` and `[dim, dim]` matrices, which
        have the same spectrum. For many batches see `vendi_score_from_statistics`.

    References:
        Friedman, Dieng, "The Vendi score", TMLR 2023. https://arxiv.org/abs/2210.02410. Orders other than 1: Pasarkar,
        Dieng, "Cousins of the Vendi score", 2023. https://arxiv.org/abs/2310.12952
    """
    rows = unit_rows(features)
    second_moment = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return _effective_number(second_moment / len(rows), order)


def vendi_score_from_statistics(statistics: GaussianStatistics, *, order: float = 1.0) -> float:
    """Computes the Vendi score from the moments of `unit_rows` of features, which can be accumulated in batches.

    Raises:
        ValueError: The rows did not have unit length, or the order is not positive.
    """
    share = (statistics.num_samples - 1) / statistics.num_samples
    second_moment = share * statistics.cov + np.outer(statistics.mean, statistics.mean)
    return _effective_number(second_moment, order)


def vendi_score_from_similarity(similarity: ArrayLike, *, order: float = 1.0) -> float:
    """Computes the Vendi score with any positive semidefinite similarity.

    Args:
        similarity: Similarity matrix, shape `[n, n]`, symmetric, with ones on its diagonal.
        order: See `vendi_score`.

    Raises:
        ValueError: The matrix is not of this form, a value is not finite, or the order is not positive.
    """
    similarity = inputs.check_features("similarity", similarity).astype(np.float64)
    if similarity.shape[0] != similarity.shape[1] or not np.allclose(similarity, similarity.T):
        raise ValueError(f"similarity must be a symmetric matrix, got shape {similarity.shape}.")
    return _effective_number(similarity / len(similarity), order)


def unit_rows(features: ArrayLike) -> np.ndarray:
    """Divides rows by their lengths; returns float64 `[n, dim]`.

    Raises:
        ValueError: The features are not finite real numbers `[n, dim]`, or a row is zero.
    """
    features = inputs.check_features("features", features).astype(np.float64)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"{int((lengths == 0).sum())} of {len(features)} features are zero: they have no direction.")
    return features / lengths


def _effective_number(matrix, order):
    if not order > 0:
        raise ValueError(f"order must be positive, got {order}.")
    if abs(np.trace(matrix) - 1) > 1e-6:
        raise ValueError("Each example must have similarity 1 with itself (rows of unit length, a diagonal of ones).")
    eigenvalues = np.maximum(np.linalg.eigvalsh(matrix), 0)
    if order == 1:
        return float(np.exp(-xlogy(eigenvalues, eigenvalues).sum()))
    if np.isinf(order):
        return float(1 / eigenvalues.max())
    return float((eigenvalues**order).sum() ** (1 / (1 - order)))
