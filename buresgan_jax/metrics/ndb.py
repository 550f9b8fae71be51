"""Number of statistically different bins, and the divergence of their histograms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfc, rel_entr

from buresgan_jax.metrics import inputs

_CHUNK_SIZE = 4096


class BinComparison(NamedTuple):
    """How the fakes fall into bins of the reals.

    Attributes:
        different_bins: number of bins whose shares of reals and of fakes differ significantly (NDB).
        share: that divided by the number of bins; about `significance` for perfect samples.
        js_divergence: Jensen-Shannon divergence of the two histograms in nats, between 0 and log 2.
    """

    different_bins: int
    share: float
    js_divergence: float


def number_of_different_bins(
    real: ArrayLike, fake: ArrayLike, *, num_bins: int = 100, significance: float = 0.05, seed: int = 0
) -> BinComparison:
    """Bins the real features by k-means and compares how reals and fakes fill the bins.

    Args:
        real: features or pixels, shape `[n, dim]`, at least `num_bins` examples.
        fake: shape `[m, dim]`, at least one.
        num_bins: 100 in the paper, for 20,000 examples and more.
        significance: of the test of each bin.
        seed: of the k-means.

    Raises:
        ValueError: too few examples, dims that differ, not finite, or a significance outside of (0, 1).

    Note:
        Cost: that of `k_means`. For fakes in batches, add up their `bin_counts` and call `compare_bins`.

    References:
        Richardson, Weiss, "On GANs and GMMs", NeurIPS 2018. https://arxiv.org/abs/1805.12462
    """
    real = inputs.check_features("real", real)
    centers = k_means(real, num_bins, seed=seed)
    return compare_bins(bin_counts(real, centers), bin_counts(fake, centers, "fake"), significance=significance)


def k_means(features: ArrayLike, num_bins: int, *, seed: int = 0, max_iterations: int = 100) -> np.ndarray:
    """Centers of a partition of the features: Lloyd's iteration from a k-means++ start.

    Args:
        features: shape `[n, dim]`, at least `num_bins` examples.
        num_bins: number of centers.
        seed: of the start.
        max_iterations: where to stop if the partition still changes.

    Returns:
        float64 `[num_bins, dim]`. A center whose bin runs empty stays where it is.

    Raises:
        ValueError: too few examples, or not finite.

    Note:
        Cost: `n num_bins dim` multiplications and additions per iteration.

    References:
        Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    inputs.check_positive_integer(num_bins=num_bins, max_iterations=max_iterations)
    features = inputs.check_features("real", features, min_samples=num_bins, lower="num_bins").astype(np.float64)
    centers = _spread_out(features, num_bins, np.random.default_rng(seed))
    assigned = None
    for _ in range(max_iterations):
        before, assigned = assigned, _nearest(features, centers)
        if before is not None and (assigned == before).all():
            break
        counts = np.bincount(assigned, minlength=num_bins)
        sums = np.zeros_like(centers)
        np.add.at(sums, assigned, features)
        centers[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return centers


def bin_counts(features: ArrayLike, centers: np.ndarray, name: str = "features") -> np.ndarray:
    """How many features are nearest to each center, int `[num_bins]`; counts of batches add up.

    Raises:
        ValueError: not finite real numbers `[n, dim]`, no example, or another dim than the centers.
    """
    features = inputs.check_features(name, features)
    if features.shape[1] != centers.shape[1]:
        raise ValueError(f"{name} must have the dimension of the bins, {centers.shape[1]}, got {features.shape[1]}.")
    return np.bincount(_nearest(features, centers), minlength=len(centers))


def compare_bins(real_counts: ArrayLike, fake_counts: ArrayLike, *, significance: float = 0.05) -> BinComparison:
    """Two-proportion z-test of each bin, with pooled variance, and the divergence of the histograms.

    Args:
        real_counts: shape `[num_bins]`.
        fake_counts: the same.
        significance: a bin differs if the test's two-sided p-value is below it.

    Raises:
        ValueError: no counts of one shape, or a significance outside of (0, 1).
    """
    real_counts, fake_counts = np.asarray(real_counts), np.asarray(fake_counts)
    if real_counts.ndim != 1 or real_counts.shape != fake_counts.shape or not (real_counts.sum() and fake_counts.sum()):
        raise ValueError(
            "real_counts and fake_counts must be of one shape [num_bins] with a positive sum, "
            f"got {real_counts.shape} and {fake_counts.shape}."
        )
    if not 0 < significance < 1:
        raise ValueError(f"significance must be between 0 and 1, got {significance}.")
    num_real, num_fake = real_counts.sum(), fake_counts.sum()
    real, fake = real_counts / num_real, fake_counts / num_fake
    pooled = (real_counts + fake_counts) / (num_real + num_fake)
    deviations = np.sqrt(pooled * (1 - pooled) * (1 / num_real + 1 / num_fake))
    scores = np.divide(abs(real - fake), deviations, out=np.zeros(len(real)), where=deviations > 0)
    different = int((erfc(scores / 2**0.5) < significance).sum())
    middle = (real + fake) / 2
    divergence = (rel_entr(real, middle).sum() + rel_entr(fake, middle).sum()) / 2
    return BinComparison(different, different / len(real), float(max(divergence, 0.0)))


def _spread_out(features, num_bins, random):
    """Starting centers, each drawn with a probability proportional to the squared distance from those before."""
    centers = [features[random.integers(len(features))]]
    squares = np.full(len(features), np.inf)
    for _ in range(num_bins - 1):
        squares = np.minimum(squares, np.square(features - centers[-1]).sum(1))
        total = squares.sum()
        weights = squares / total if total > 0 else None  # all examples are centers already
        centers.append(features[random.choice(len(features), p=weights)])
    return np.stack(centers)


def _nearest(features, centers):
    half_squares = np.square(centers).sum(1) / 2
    chunks = [features[start : start + _CHUNK_SIZE] for start in range(0, len(features), _CHUNK_SIZE)]
    return np.concatenate([(half_squares - chunk @ centers.T).argmin(1) for chunk in chunks])
