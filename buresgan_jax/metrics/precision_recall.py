"""Precision, recall, density and coverage of generated features, by nearest neighbors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from buresgan_jax.metrics import inputs


class PrecisionRecall(NamedTuple):
    """Mutual coverage of two sets of features. The manifold of a set is the union of balls around its members.

    Attributes:
        precision: Share of the fakes within the real manifold.
        recall: Share of the reals within the fake manifold.
        density: Average number of real balls that contain a fake, divided by `num_neighbors`. It can exceed 1.
        coverage: Share of the reals with a fake in their ball.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: ArrayLike, fake: ArrayLike, *, num_neighbors: int = 5, chunk_size: int = 1024
) -> PrecisionRecall:
    """Computes improved precision and recall, density and coverage.

    The radius of a member's ball is the distance to its `num_neighbors`-th nearest neighbor in its own set. Balls are
    open: a point exactly on the border is outside.

    Args:
        real: Real features, shape `[n, dim]`, more than `num_neighbors` examples.
        fake: Fake features, shape `[m, dim]`, more than `num_neighbors` examples. All four numbers depend on n and m.
        num_neighbors: Number of neighbors. The paper on precision and recall uses 3, the one on density and coverage 5.
        chunk_size: Size of a block of distances: `chunk_size^2` distances are in memory at once.

    Raises:
        ValueError: There are too few examples, the dims differ, or a value is not finite.

    Note:
        Cost: `(n^2 / 2 + m^2 / 2 + n m) dim` multiplications and additions in float64. Distances of float32 features
        are rounded to float32 before they are compared, as in prdc, so that near-ties are resolved in the same way.

    References:
        Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019.
        https://arxiv.org/abs/1904.06991. Naeem et al., "Reliable fidelity and diversity metrics for generative models",
        ICML 2020. https://arxiv.org/abs/2002.09797
    """
    inputs.check_positive_integer(num_neighbors=num_neighbors, chunk_size=chunk_size)
    real = inputs.check_features("real", real, min_samples=num_neighbors + 1, lower="num_neighbors")
    fake = inputs.check_features("fake", fake, min_samples=num_neighbors + 1, lower="num_neighbors")
    inputs.check_same_dim(real.shape[1], fake.shape[1])
    radii, fake_radii = (_radii(features, num_neighbors, chunk_size) for features in (real, fake))
    balls, recalled, covered = np.zeros(len(fake), np.int64), np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in _chunks(len(real), chunk_size):
        for others in _chunks(len(fake), chunk_size):
            distances = _distances(real[rows], fake[others])
            within = distances < radii[rows, None]
            balls[others] += within.sum(0)
            covered[rows] |= within.any(1)
            recalled[rows] |= (distances < fake_radii[others]).any(1)
    return PrecisionRecall(
        precision=float((balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(balls.mean() / num_neighbors),
        coverage=float(covered.mean()),
    )


def _radii(features, num_neighbors, chunk_size):
    """Computes each member's distance to its k-th nearest neighbor. Each block of the symmetric matrix is made once."""
    nearest = np.full((len(features), num_neighbors + 1), np.inf, features.dtype)  # includes the member itself
    for start in _chunks(len(features), chunk_size):
        for stop in _chunks(len(features), chunk_size, first=start.start):
            distances = _distances(features[start], features[stop])
            if start == stop:
                np.fill_diagonal(distances, 0)
            else:
                nearest[stop] = _smallest(nearest[stop], distances.T)
            nearest[start] = _smallest(nearest[start], distances)
    return nearest.max(1)


def _smallest(known, distances):
    """Returns the smallest values of both arrays in each row, as many as `known` has."""
    return np.partition(np.concatenate([known, distances], axis=1), known.shape[1] - 1, axis=1)[:, : known.shape[1]]


def _chunks(num_rows, chunk_size, first=0):
    return [slice(start, min(start + chunk_size, num_rows)) for start in range(first, num_rows, chunk_size)]


def _distances(x, y):
    """Computes Euclidean distances `[n, m]` in float64, rounded to the features' dtype before the root."""
    dtype = np.result_type(x, y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    squares = x @ y.T
    squares *= -2
    squares += np.square(x).sum(1)[:, None]
    squares += np.square(y).sum(1)[None]
    return np.sqrt(np.maximum(squares, 0).astype(dtype))
