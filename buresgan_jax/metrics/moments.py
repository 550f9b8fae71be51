"""Mean and covariance of features in batches: the statistics of the moment-based metrics."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas

from buresgan_jax.metrics import inputs


class GaussianStatistics(NamedTuple):
    """Statistics of a set of features for the Frechet distance.

    Attributes:
        num_samples: Number of examples.
        mean: Mean, float64 `[dim]`.
        cov: Covariance, float64 `[dim, dim]`, centered, with divisor `num_samples - 1`.
    """

    num_samples: int
    mean: np.ndarray
    cov: np.ndarray


class Moments:
    """Running mean and scatter matrix, in float64.

    Holds one `[dim, dim]` matrix and never the features. A batch is centered by its own mean, and its distance from the
    running mean enters as one more row (Chan, Golub, LeVeque 1983), so nothing cancels, even if the mean is far from
    zero. Parts that were accumulated separately, on other devices or hosts, can be merged; their order affects only
    rounding.

    Cost: `n dim^2` multiplications and additions, in one symmetric in-place update per batch. Batches of 100 or more
    examples are the fastest.
    """

    def __init__(self):
        self.num_samples = 0
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))  # upper triangle only

    def add(self, features: ArrayLike, name: str = "features") -> None:
        """Adds one batch.

        Args:
            features: Features, shape `[n, dim]`, with n at least 1.
            name: Name of the features in error messages.

        Raises:
            ValueError: The features are not finite real numbers of shape `[n, dim]`, or dim has changed.
        """
        features = inputs.check_features(name, features).astype(np.float64)
        mean = features.mean(0)
        self._combine(name, len(features), mean, features - mean)

    def merge(self, other: "Moments") -> None:
        """Adds the data of another object, which does not change.

        Raises:
            ValueError: The other object's features have another dimension.
        """
        if other.num_samples:
            self._combine("the other part", other.num_samples, other._mean, np.zeros((0, len(other._mean))))
            self._scatter += other._scatter

    def statistics(self, name: str = "features") -> GaussianStatistics:
        """Returns the statistics of all batches so far.

        Args:
            name: Name of the features in error messages.

        Raises:
            ValueError: There are fewer than two examples.
        """
        inputs.check_num_samples(name, self.num_samples, 2)
        cov = np.triu(self._scatter) + np.triu(self._scatter, 1).T
        return GaussianStatistics(self.num_samples, self._mean.copy(), cov / (self.num_samples - 1))

    def _combine(self, name, num_samples, mean, deviations):
        if not self.num_samples:
            self._mean, self._scatter = np.zeros_like(mean), np.zeros((len(mean), len(mean)), order="F")
        if mean.shape != self._mean.shape:
            raise ValueError(f"{name} must have the dimension of earlier batches, {len(self._mean)}, got {len(mean)}.")
        total, change = self.num_samples + num_samples, mean - self._mean
        row = np.sqrt(self.num_samples * num_samples / total) * change
        rows = np.concatenate([deviations, row[None]])
        self._scatter = blas.dsyrk(1.0, rows.T, beta=1.0, c=self._scatter, overwrite_c=True)
        self._mean = self._mean + (num_samples / total) * change
        self.num_samples = total


def gaussian_statistics(batches: Iterable[ArrayLike], name: str = "features") -> GaussianStatistics:
    """Computes mean and covariance of features in batches.

    Args:
        batches: Iterable of batches, each of shape `[n, dim]`, such as an array `[num_batches, n, dim]`.
        name: Name of the features in error messages.

    Raises:
        ValueError: There are fewer than two examples, the dims differ, or a value is not finite.
    """
    moments = Moments()
    for batch in batches:
        moments.add(batch, name)
    return moments.statistics(name)
