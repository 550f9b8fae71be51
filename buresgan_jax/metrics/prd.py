"""Precision-recall curve of two distributions (PRD), from histograms over clusters of both sets together."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from buresgan_jax.metrics import inputs
from buresgan_jax.metrics.ndb import bin_counts, k_means

_LEAST_ANGLE = 1e-10


class PrecisionRecallCurve(NamedTuple):
    """Points of the curve, from slope 0 (precision 0, largest recall) to infinity (largest precision, recall 0).

    Attributes:
        precision: How much of the fakes can be made from the reals, float64 `[num_angles]`, between 0 and 1.
        recall: How much of the reals can be made from the fakes, float64 `[num_angles]`, between 0 and 1.
    """

    precision: np.ndarray
    recall: np.ndarray


def precision_recall_curve(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    num_clusters: int = 20,
    num_runs: int = 10,
    num_angles: int = 1001,
    seed: int = 0,
) -> PrecisionRecallCurve:
    """Clusters real and fake features together by k-means and computes the curve of their histograms.

    The curve is the mean over several k-means. Its usual summary is `largest_f_score` with `beta=8`, F_8, which rates
    recall, and with `beta=1 / 8`, which rates precision.

    Args:
        real: Real features, shape `[n, dim]`, at least `num_clusters / 2` examples.
        fake: Fake features, shape `[m, dim]`, at least `num_clusters / 2` examples.
        num_clusters: Number of clusters. The values fall as it grows.
        num_runs: Number of k-means, each from a start of its own.
        num_angles: Number of points of the curve.
        seed: Seed of the starts, and of the random part of the larger set: both sets count with equally many examples.

    Returns:
        The curve. Swapped sets give the swapped curve. The order of the examples changes nothing.

    Raises:
        ValueError: There are too few examples, the dims differ, a value is not finite, or an option is below its
            minimum.

    Note:
        Float64. Cost: that of `num_runs` calls of `k_means` on `2 min(n, m)` examples. The authors' code uses k-means
        in mini-batches: its clusters are other ones.

    References:
        Sajjadi et al., "Assessing generative models via precision and recall", NeurIPS 2018.
        https://arxiv.org/abs/1806.00035
    """
    inputs.check_positive_integer(num_clusters=num_clusters, num_runs=num_runs)
    _check_num_angles(num_angles)  # before the work
    min_samples = -(-num_clusters // 2)
    real = inputs.check_features("real", real, min_samples=min_samples, lower="num_clusters")
    fake = inputs.check_features("fake", fake, min_samples=min_samples, lower="num_clusters")
    inputs.check_same_dim(real.shape[1], fake.shape[1])
    random = np.random.default_rng(seed)
    real, fake = _random_part(real, len(fake), random), _random_part(fake, len(real), random)
    # Sorted, both have one order, whichever set is the real one. Every k-means needs float64.
    both = _sorted(np.concatenate([real, fake]).astype(np.float64, copy=False))
    num_candidates, curves = 2 + int(np.log(num_clusters)), []  # as scikit-learn, which the authors use
    for start in random.integers(2**32, size=num_runs):
        centers = k_means(both, num_clusters, seed=int(start), num_candidates=num_candidates)
        counts = bin_counts(real, centers), bin_counts(fake, centers)
        curves.append(precision_recall_curve_of_histograms(*counts, num_angles=num_angles))
    return PrecisionRecallCurve(*np.mean(curves, axis=0))


def precision_recall_curve_of_histograms(
    real: ArrayLike, fake: ArrayLike, *, num_angles: int = 1001
) -> PrecisionRecallCurve:
    """Computes `precision = sum_i min(slope r_i, f_i)` and `recall = sum_i min(r_i, f_i / slope)` of shares r and f.

    The slopes are the tangents of equidistant angles between 0 and pi / 2.

    Args:
        real: Counts or shares of the reals, shape `[num_bins]`.
        fake: Counts or shares of the fakes, shape `[num_bins]`.
        num_angles: Number of angles, at least 3. Slope 1 is among them if it is odd.

    Raises:
        ValueError: The histograms do not have the same shape `[num_bins]`, values that are not negative, and positive
            finite sums, or there are fewer than 3 angles.
    """
    _check_num_angles(num_angles)
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if real.ndim != 1 or real.shape != fake.shape:
        raise ValueError(f"real and fake must have the same shape [num_bins], got {real.shape} and {fake.shape}.")
    for name, values in (("real", real), ("fake", fake)):
        if not ((values >= 0).all() and 0 < values.sum() < np.inf):
            raise ValueError(
                f"{name} must have values that are not negative, with a positive finite sum; "
                f"got values from {values.min(initial=0)} on, with sum {values.sum()}."
            )
    real, fake = real / real.sum(), fake / fake.sum()
    slopes = np.tan(np.linspace(_LEAST_ANGLE, np.pi / 2 - _LEAST_ANGLE, num_angles))[:, None]
    inverses = slopes[::-1]  # exact symmetry of the sets; 1 / slopes up to rounding
    precision, recall = np.minimum(slopes * real, fake).sum(1), np.minimum(real, inverses * fake).sum(1)
    return PrecisionRecallCurve(np.minimum(precision, 1), np.minimum(recall, 1))


def largest_f_score(curve: PrecisionRecallCurve, *, beta: float = 8) -> float:
    """Computes the largest `(1 + beta^2) precision recall / (beta^2 precision + recall)` on the curve.

    Args:
        curve: The curve.
        beta: How much more recall counts than precision: 8 gives F_8, and 1 / 8 its counterpart for precision.

    Returns:
        Score between 0 (nothing in common) and 1 (equal distributions).

    Raises:
        ValueError: `beta` is not positive and finite.
    """
    if not 0 < beta < np.inf:
        raise ValueError(f"beta must be positive and finite, got {beta}.")
    precision, recall = curve
    sums = beta**2 * precision + recall
    scores = np.divide((1 + beta**2) * precision * recall, sums, out=np.zeros_like(sums), where=sums > 0)
    return float(scores.max())


def _check_num_angles(num_angles):
    if not isinstance(num_angles, int | np.integer) or num_angles < 3:
        raise ValueError(f"num_angles must be an integer of at least 3, got {num_angles!r}.")


def _random_part(features, num, random):
    return features if len(features) <= num else _sorted(features)[random.permutation(len(features))[:num]]


def _sorted(features):
    """Sorts rows by their bytes, so that what is drawn of them depends on the set only."""
    features = np.ascontiguousarray(features)
    rows = features.view(np.dtype((np.void, features.itemsize * features.shape[1])))
    return features[np.argsort(rows[:, 0])]
