"""The Gaussian nearest to a density, against minima found by another method, and closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import divergences
from buresgan_jax.divergences import DIVERGENCES, GaussianFit, fit_gaussian

# Value; mean, standard deviation at the minima for 0.6 N(-2, 0.7^2) + 0.4 N(2, 0.7^2). Found for the method card by
# quadrature on a grid and Nelder and Mead's method from 24 starts; those of the last two by this code.
MINIMA = {
    "pearson": [(0.3829, -0.416, 2.129)],
    "reversed_softened_reverse_kl": [(0.3759, -0.413, 2.117)],
    "kl": [(0.4224, -0.400, 2.081)],
    "jensen_shannon": [(0.4683, -0.392, 2.052), (0.6466, -1.974, 0.740)],
    "squared_hellinger": [(0.5098, -0.374, 2.008)],
    "jeffreys": [(0.5851, -0.325, 1.876)],
    "reverse_kl": [(0.5052, -1.986, 0.720), (0.7321, -0.315, 1.822), (0.9069, 1.976, 0.733)],
    "softened_reverse_kl": [(0.3632, -1.992, 0.711), (0.7293, 1.986, 0.718), (0.9746, -0.315, 1.778)],
    "neyman": [(0.3308, -1.993, 0.709), (0.7441, 1.990, 0.713)],
    "softened_kl": [(0.4150, -1.988, 0.716), (0.5493, -0.386, 2.020), (0.7617, 1.977, 0.731)],
    "reversed_softened_kl": [(0.3866, -0.409, 2.102)],
}


def log_mixture(x):
    parts = [jnp.log(weight) - ((x - mean) / 0.7) ** 2 / 2 for weight, mean in ((0.6, -2), (0.4, 2))]
    return jnp.logaddexp(*parts) - jnp.log(0.7 * jnp.sqrt(2 * jnp.pi))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_all_minima_are_found_from_the_best_on(name):
    fits = fit_gaussian(DIVERGENCES[name], log_mixture, lower=-6, upper=6)
    found = [(fit.value, fit.mean, fit.std) for fit in fits]
    np.testing.assert_allclose(found, MINIMA[name], atol=2e-3)


def test_kl_keeps_mean_and_variance():
    (fit,) = fit_gaussian(DIVERGENCES["kl"], log_mixture, lower=-6, upper=6, num_starts=2)
    np.testing.assert_allclose(fit[:2], (-0.4, np.sqrt(0.49 + 4 - 0.16)), rtol=1e-4)


def test_a_gaussian_is_its_own_nearest_one_at_any_place_and_scale():
    def log_density(x):
        return -(((x - 100) / 0.01) ** 2) / 2 - jnp.log(0.01 * jnp.sqrt(2 * jnp.pi))

    (fit,) = fit_gaussian(divergences.power(1.4), log_density, lower=99.95, upper=100.04, num_starts=4)
    assert isinstance(fit, GaussianFit)
    np.testing.assert_allclose(fit, (100, 0.01, 0), rtol=1e-4, atol=1e-7)


def test_an_empty_interval_and_runaway_fits_are_refused():
    with pytest.raises(ValueError, match="lower must be below upper and num_starts at least 2, got 1, 1, 12"):
        fit_gaussian(DIVERGENCES["kl"], log_mixture, lower=1, upper=1)
    with pytest.raises(ValueError, match="No Gaussian inside the interval"):
        fit_gaussian(DIVERGENCES["kl"], log_mixture, lower=3, upper=4)
