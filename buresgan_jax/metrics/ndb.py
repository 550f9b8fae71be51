"""Number of statistically different bins (NDB), and the divergence of the histograms."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from scipy.special import erfc, rel_entr

from buresgan_jax.metrics import inputs

_CHUNK_SIZE = 4096


class BinComparison(NamedTuple):
    """Comparison of fakes and reals in bins of the reals.

    Attributes:
        different_bins: Number of bins in which the fractions of reals and fakes differ significantly (NDB).
        share: `different_bins` divided by the number of bins. About `significance` for perfect samples.
        js_divergence: Jensen-Shannon divergence of the two histograms in nats, between 0 and log 2.
    """

    different_bins: int
    share: float
    js_divergence: float


def number_of_different_bins(
    real: ArrayLike, fake: ArrayLike, *, num_bins: int = 100, significance: float = 0.05, seed: int = 0
) -> BinComparison:
    """Bins the real features by k-means and compares the counts of reals and fakes in the bins.

    Args:
        real: Real features or pixels, shape `[n, dim]`, at least `num_bins` examples.
        fake: Fake features or pixels, shape `[m, dim]`, at least one example.
        num_bins: Number of bins. The paper uses 100 for 20,000 or more examples.
        significance: Significance level of each bin's test.
        seed: Seed of the k-means.

    Raises:
        ValueError: There are too few examples, the dims differ, a value is not finite, or the significance is outside
            of (0, 1).

    Note:
        Cost: that of `k_means`. For fakes in batches, add up their `bin_counts` and call `compare_bins`.

    References:
        Richardson, Weiss, "On GANs and GMMs", NeurIPS 2018. https://arxiv.org/abs/1805.12462
    """
    real = inputs.check_features("real", real)
    centers = k_means(real, num_bins, seed=seed)
    return compare_bins(bin_counts(real, centers), bin_counts(fake, centers, "fake"), significance=significance)


def k_means(
    features: ArrayLike, num_bins: int, *, seed: int = 0, max_iterations: int = 100, num_candidates: int = 1
) -> np.ndarray:
    """Partitions features by Lloyd's iteration from a k-means++ start; returns the centers.

    Args:
        features: Features, shape `[n, dim]`, at least `num_bins` examples.
        num_bins: Number of centers.
        seed: Seed of the start.
        max_iterations: The largest number of iterations if the partition keeps changing.
        num_candidates: Number of candidates for each center of the start. The one that leaves the least sum of squared
            distances is kept. scikit-learn takes `2 + floor(log(num_bins))`.

    Returns:
        Centers, float64 `[num_bins, dim]`. The center of an empty bin does not move.

    Raises:
        ValueError: There are too few examples, or a value is not finite.

    Note:
        Cost: `n num_bins dim` multiplications and additions per iteration; `num_candidates` times that for the start.

    References:
        Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    inputs.check_positive_integer(num_bins=num_bins, max_iterations=max_iterations, num_candidates=num_candidates)
    features = inputs.check_features("real", features, min_samples=num_bins, lower="num_bins")
    features = features.astype(np.float64, copy=False)
    centers = _spread_out(features, num_bins, num_candidates, np.random.default_rng(seed))
    assigned = None
    for _ in range(max_iterations):
        before, assigned = assigned, _nearest(features, centers)
        if before is not None and (assigned == before).all():
            break
        counts = np.bincount(assigned, minlength=num_bins)
        sums = _indicators(assigned, num_bins) @ features
        centers[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return centers


def bin_counts(features: ArrayLike, centers: np.ndarray, name: str = "features") -> np.ndarray:
    """Counts the features that are closest to each center, int `[num_bins]`. Counts of batches can be added up.

    Raises:
        ValueError: The features are not finite real numbers `[n, dim]`, there are none, or their dim is not that of the
            centers.
    """
    features = inputs.check_features(name, features)
    if features.shape[1] != centers.shape[1]:
        raise ValueError(f"{name} must have the dimension of the bins, {centers.shape[1]}, got {features.shape[1]}.")
    return np.bincount(_nearest(features, centers), minlength=len(centers))


def compare_bins(real_counts: ArrayLike, fake_counts: ArrayLike, *, significance: float = 0.05) -> BinComparison:
    """Compares histograms by a two-proportion z-test of each bin, with pooled variance, and by their divergence.

    Args:
        real_counts: Counts of the reals, shape `[num_bins]`.
        fake_counts: Counts of the fakes, shape `[num_bins]`.
        significance: A bin is different if the test's two-sided p-value is below this.

    Raises:
        ValueError: The counts do not have the same shape `[num_bins]` and positive sums, or the significance is outside
            of (0, 1).
    """
    real_counts, fake_counts = np.asarray(real_counts), np.asarray(fake_counts)
    if real_counts.ndim != 1 or real_counts.shape != fake_counts.shape or not (real_counts.sum() and fake_counts.sum()):
        raise ValueError(
            "real_counts and fake_counts must have the same shape [num_bins] and positive sums, "
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


def _spread_out(features, num_bins, num_candidates, random):
    """Draws starting centers with probabilities proportional to the squared distance from earlier centers."""
    centers = [features[random.integers(len(features))]]
    squares = cdist(features, centers[0][None], "sqeuclidean")[:, 0]
    for _ in range(num_bins - 1):
        total = squares.sum()
        weights = squares / total if total > 0 else None  # all examples are centers already
        candidates = features[random.choice(len(features), size=num_candidates, p=weights)]
        left = np.minimum(squares[:, None], cdist(features, candidates, "sqeuclidean"))
        best = left.sum(0).argmin()
        squares = left[:, best]
        centers.append(candidates[best])
    return np.stack(centers)


def _indicators(assigned, num_bins):
    """Makes the sparse matrix `[num_bins, n]` with a one where an example is in a bin: adds up bins fast."""
    places = assigned, np.arange(len(assigned))
    return csr_array((np.ones(len(assigned)), places), shape=(num_bins, len(assigned)))


def _nearest(features, centers):
    half_squares = np.square(centers).sum(1) / 2
    chunks = [features[start : start + _CHUNK_SIZE] for start in range(0, len(features), _CHUNK_SIZE)]
    return np.concatenate([(half_squares - chunk @ centers.T).argmin(1) for chunk in chunks])
