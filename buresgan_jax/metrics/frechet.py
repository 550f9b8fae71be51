"""Frechet distance between two sets of features: the Wasserstein distance between Gaussians with their moments."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from buresgan_jax.metrics import inputs
from buresgan_jax.metrics.moments import GaussianStatistics, gaussian_statistics

_TRACE_TOLERANCE = 1e-10
_NEGATIVE_SHARE = 1e-3  # of the largest eigenvalue: smaller negative eigenvalues are rounding, up to half precision


def frechet_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """Computes the Frechet distance between two sets of features.

    Args:
        real: Real features, shape `[n, dim]`, at least two examples.
        fake: Fake features, shape `[m, dim]`, at least two examples.

    Returns:
        See `frechet_distance_from_statistics`. The bias depends on the numbers of examples: compare only values of
        equal numbers.

    Raises:
        ValueError: There are fewer than two examples, the dims differ, or a value is not finite.
    """
    return frechet_distance_from_statistics(gaussian_statistics([real], "real"), gaussian_statistics([fake], "fake"))


def frechet_distance_from_statistics(real: GaussianStatistics, fake: GaussianStatistics) -> float:
    r"""Computes the Frechet distance between two Gaussians, in float64.

    It is :math:`|\mu - \nu|^2 + \mathrm{tr} A + \mathrm{tr} B - 2\,\mathrm{tr}(A B)^{1/2}`. The last trace is computed
    as the sum of the singular values of :math:`L_A^\top L_B`, with pivoted Cholesky factors of A and B. A singular
    covariance (fewer examples than dimensions) has a narrow factor, so rounding errors in its null space, whose roots
    would not be small, never enter.

    Args:
        real: Mean `[dim]` and covariance `[dim, dim]`; the number of samples is not used.
        fake: The same for the other set.

    Returns:
        The distance, never negative, NaN or complex; zero up to 1e-14 of the traces for equal statistics. In squared
        units of the features, as in all packages, although it is called a distance.

    Raises:
        ValueError: The shapes do not match, a value is not finite, or a covariance is not positive semidefinite.

    Note:
        Cost: two Cholesky factorizations and the singular values of one `[dim, dim]` matrix by LAPACK on the host.
        `buresgan_jax.squared_bures_wasserstein_distance` computes the same quantity in JAX: differentiable, on any
        device, in the precision of its arguments.

    References:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS
        2017. https://arxiv.org/abs/1706.08500. Unlike its code, this adds nothing to the diagonals.
    """
    real, fake = _checked("real", real), _checked("fake", fake)
    inputs.check_same_dim(len(real.mean), len(fake.mean))
    nuclear_norm = np.linalg.svd(_factor("real", real.cov).T @ _factor("fake", fake.cov), compute_uv=False).sum()
    of_covs = np.trace(real.cov) + np.trace(fake.cov) - 2 * nuclear_norm
    return float(np.square(real.mean - fake.mean).sum() + max(of_covs, 0.0))


def _factor(name, cov):
    """Returns L `[dim, rank]` with `L L^T = cov`."""
    factor, pivots, rank, _ = lapack.dpstrf(cov, lower=True)
    rows = np.empty((len(cov), rank))
    rows[pivots - 1] = np.tril(factor)[:, :rank]
    trace = np.trace(cov)
    if abs(np.square(rows).sum() - trace) <= _TRACE_TOLERANCE * abs(trace):
        return rows
    # A matrix rounded to less than float64 is not quite semidefinite: the factorization ended early, or broke down.
    eigenvalues, basis = np.linalg.eigh(cov)
    if eigenvalues[0] < -_NEGATIVE_SHARE * eigenvalues[-1]:
        raise ValueError(
            f"The covariance of {name} is not positive semidefinite: its eigenvalues range from {eigenvalues[0]:.3g} "
            f"to {eigenvalues[-1]:.3g}."
        )
    return basis * np.sqrt(np.maximum(eigenvalues, 0))


def _checked(name, statistics):
    """Returns checked statistics in float64."""
    mean, cov = np.asarray(statistics.mean, np.float64), np.asarray(statistics.cov, np.float64)
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise ValueError(
            f"{name} must have a mean [dim] and a covariance [dim, dim], got shapes {mean.shape} and {cov.shape}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        raise ValueError(f"The mean or the covariance of {name} is not finite.")
    return GaussianStatistics(statistics.num_samples, mean, cov)
