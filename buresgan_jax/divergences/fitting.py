"""The Gaussian nearest to a density on the line: where divergences differ most, between seeking a mode and covering."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from buresgan_jax.divergences.divergence import Divergence
from buresgan_jax.divergences.values import divergence_between_densities

_FLOOR = 1e-3  # added to a divergence before its logarithm is taken
_NARROWEST = 0.01  # standard deviation, of the interval's width, that the quadrature resolves
_FLAT = 1e-4  # a larger slope of the logarithm is no minimum's
_CLOSE = 1e-3  # minima of closer means and standard deviations, relative to the latter, are one


class GaussianFit(NamedTuple):
    """A Gaussian at a local minimum of a divergence.

    Attributes:
        mean: Its mean.
        std: Its standard deviation.
        value: The divergence there, in nats.
    """

    mean: float
    std: float
    value: float


def fit_gaussian(
    divergence: Divergence,
    log_density: Callable[[jax.Array], jax.Array],
    *,
    lower: float,
    upper: float,
    num_starts: int = 12,
) -> tuple[GaussianFit, ...]:
    """Finds the Gaussians q that minimize D(p, q) for a given density p on the line.

    It is exact minimization by quadrature and BFGS in float64, without samples: what a generator with a mean and a
    scale would reach with an optimal discriminator.

    Args:
        divergence: The divergence.
        log_density: Elementwise log density of p, in JAX.
        lower: Where the density begins to be more than negligible.
        upper: Where it ends. The integral goes further, so that q may be as wide.
        num_starts: Number of starting points: about equally far apart in the mean, and for each mean a narrow and a
            wide Gaussian.

    Returns:
        The local minima that were found, the best one first.

    Raises:
        ValueError: The interval is empty, there are fewer than 2 starts, or every one of them runs off.
    """
    if not (lower < upper and num_starts >= 2):
        raise ValueError(f"lower must be below upper and num_starts at least 2, got {lower}, {upper}, {num_starts}.")
    width, num_means = upper - lower, -(-num_starts // 2)

    def log_value(parameters):  # the logarithm, because some values are huge far from a minimum
        mean, log_std = lower + width * parameters[0], jnp.log(width) + parameters[1]
        value = divergence_between_densities(
            divergence,
            log_density,
            lambda x: -(((x - mean) * jnp.exp(-log_std)) ** 2 + jnp.log(2 * jnp.pi)) / 2 - log_std,
            lower=lower - width,
            upper=upper + width,
            num_intervals=150,
        )
        return jnp.log(value + _FLOOR)

    with jax.enable_x64(True):
        function = jax.jit(jax.value_and_grad(log_value))
        starts = itertools.product((np.arange(num_means) + 0.5) / num_means, np.log([1 / 20, 1 / 6]))
        found = [
            optimize.minimize(lambda x: tuple(map(np.asarray, function(jnp.asarray(x)))), start, jac=True)
            for start in itertools.islice(starts, num_starts)
        ]
    ends = [(*each.x, each.fun) for each in found if np.abs(each.jac).max() < _FLAT]
    inside = [end for end in ends if 0 <= end[0] <= 1 and _NARROWEST < math.exp(end[1]) < 1]
    fits = [(lower + width * mean, width * math.exp(log_std), math.exp(end) - _FLOOR) for mean, log_std, end in inside]
    return _distinct(GaussianFit(*map(float, fit)) for fit in fits)


def _distinct(fits):
    minima: list[GaussianFit] = []
    for fit in sorted(fits, key=lambda fit: fit.value):
        if all(abs(fit.mean - other.mean) + abs(fit.std - other.std) > _CLOSE * other.std for other in minima):
            minima.append(fit)
    if not minima:
        raise ValueError("No Gaussian inside the interval minimizes the divergence; give another interval.")
    return tuple(minima)
