"""Whether two sets of points have one distribution: the exact Wasserstein distance, and a test."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, sparse
from scipy.spatial import cKDTree, distance

from buresgan_jax.metrics.inputs import check_features, check_positive_integer

_NUM_SCALES, _NUM_NEIGHBORS = 6, 5
_ROUNDING = 1e-4  # of the forms in float32, relative to the diagonal that they leave out


class TwoSampleTest(NamedTuple):
    """Result of a test that two sets of points have one distribution.

    Attributes:
        statistic: The largest standardized difference over the kernels: about 0 to 3 for equal distributions.
        p_value: Probability of such a statistic, or a larger one, for equal distributions. At least
            `1 / (num_permutations + 1)`.
        scale: Width of the kernel that sees the largest difference, in the units of the points.
    """

    statistic: float
    p_value: float
    scale: float


def sample_wasserstein(samples: ArrayLike, reference: ArrayLike) -> float:
    """Computes the exact 1-Wasserstein distance between two sets of equally many points.

    Two sets of the same distribution are not at distance 0: compare with the distance of a second reference.

    Args:
        samples: Shape `[n, dim]`.
        reference: Shape `[n, dim]`.

    Returns:
        The mean Euclidean distance of the cheapest assignment, in the units of the points.

    Raises:
        ValueError: The shapes differ or are not `[n, dim]`, or a number is not finite.

    Note:
        Cost O(n^3) at worst: 1 to 3 s for 2,500 points on one core.
    """
    samples, reference = _check(samples, reference, 1)
    if len(samples) != len(reference):
        raise ValueError(f"Both sets must have equally many points, got {len(samples)} and {len(reference)}.")
    costs = distance.cdist(samples, reference)
    return float(costs[optimize.linear_sum_assignment(costs)].mean())


def kernel_two_sample_test(
    samples: ArrayLike, reference: ArrayLike, *, num_permutations: int = 300, seed: int = 0
) -> TwoSampleTest:
    """Tests whether two sets of points come from one distribution, by the MMD of several kernels.

    Six Gaussian kernels have widths from the median distance to the nearest neighbor, but at least a thousandth of the
    median distance, up to the median distance. Short ones see a collapse inside modes, long ones see missing modes and
    wrong weights. The seventh kernel counts the nearest five neighbors, and sees stray samples. The test is exact at
    every number of points: its null distribution comes from permutations of the two sets.

    Args:
        samples: Shape `[n, dim]`, at least 2 points.
        reference: Shape `[m, dim]`, at least 2 points. Points that the samples were not made from: a generator that
            replays its training data passes if it does so evenly.
        num_permutations: Random permutations.
        seed: Seed of the random permutations.

    Returns:
        The result.

    Raises:
        ValueError: A shape is not `[n, dim]`, the dims differ, a set has fewer than 2 points, a number is not finite,
            or there is no permutation.

    Note:
        Cost O((n + m)^2 (dim + 6 num_permutations)), memory 16 (n + m)^2 bytes: 3 s and 0.4 GB for 2,500 and 2,500
        points.

    References:
        Gretton et al., "A Kernel Two-Sample Test", JMLR 2012; Schilling, "Multivariate Two-Sample Tests Based on
        Nearest Neighbors", JASA 1986. The largest of them, each standardized by the permutations, is our choice.
    """
    samples, reference = _check(samples, reference, 2)
    check_positive_integer(num_permutations=num_permutations)
    points, random = np.concatenate([samples, reference]), np.random.default_rng(seed)
    squared = distance.squareform(distance.pdist(points, "sqeuclidean")).astype(np.float32)
    sides = np.where(np.arange(len(points)) < len(samples), 1 / len(samples), -1 / len(reference))
    weights = np.stack([sides, *(random.permutation(sides) for _ in range(num_permutations))], 1).astype(np.float32)
    scales = _scales(points, squared)
    values = [_quadratic_forms(_kernel(squared, scale), weights) for scale in scales]
    neighbors, reach = _neighbors(points)
    values, scales = np.stack([*values, _quadratic_forms(neighbors, weights)]), [*scales, reach]
    # By all columns, the observed one too: then all of them are exchangeable, and the test is exact.
    spread = np.maximum(values.std(1, keepdims=True), _ROUNDING * np.sum(sides**2))
    standardized = np.round((values - values.mean(1, keepdims=True)) / spread, 3)
    largest = standardized.max(0)
    p_value = (1 + np.sum(largest[1:] >= largest[0])) / (num_permutations + 1)
    return TwoSampleTest(float(largest[0]), float(p_value), float(scales[standardized[:, 0].argmax()]))


def _check(samples, reference, min_samples):
    samples = check_features("samples", samples, min_samples=min_samples).astype(np.float64)
    reference = check_features("reference", reference, min_samples=min_samples).astype(np.float64)
    if samples.shape[1] != reference.shape[1]:
        raise ValueError(f"Both sets must have the same dim, got {samples.shape[1]} and {reference.shape[1]}.")
    return samples, reference


def _scales(points, squared):
    """Widths of the kernels."""
    longest = np.sqrt(np.median(squared))
    nearest = np.median(cKDTree(points).query(points, k=2)[0][:, 1])
    if longest == 0:
        longest = np.sqrt(squared.max()) or 1.0
    return np.geomspace(max(nearest, 1e-3 * longest), longest, _NUM_SCALES)


def _kernel(squared, scale):
    """The Gaussian kernel of this width, at least e^-60: subnormal values make a product 60 times slower."""
    return np.exp(np.maximum(squared * np.float32(-0.5 / scale**2), np.float32(-60)))


def _neighbors(points):
    """The graph of nearest neighbors, and the median distance to the furthest one that counts."""
    num = min(_NUM_NEIGHBORS, len(points) - 1)
    distances, index = cKDTree(points).query(points, k=num + 1)
    rows = np.repeat(np.arange(len(points)), num + 1)
    graph = sparse.csr_array((np.ones(rows.size, np.float32), (rows, index.ravel())), shape=2 * (len(points),))
    return graph, np.median(distances[:, -1])


def _quadratic_forms(matrix, weights):
    """`w^T K w` of each column w. The diagonal gives the same for all of them."""
    return np.einsum("ij,ij->j", weights, matrix @ weights, dtype=np.float64)
