"""Latent distributions: shapes, dtypes and moments of what they draw."""

import jax
import numpy as np
import pytest

from buresgan_jax import latents


@pytest.mark.parametrize(
    ("latent", "std", "most"), [(latents.normal(3), 1.0, np.inf), (latents.uniform(3), 3**-0.5, 1.0)]
)
def test_draws_have_the_shape_and_moments_of_the_distribution(latent, std, most):
    z = np.asarray(jax.jit(latent.sample, static_argnums=2)((), jax.random.key(0), 20_000))
    assert (z.shape, z.dtype, latent.dim) == ((20_000, 3), np.float32, 3)
    np.testing.assert_allclose(z.mean(0), 0, atol=5 * std / 20_000**0.5)
    np.testing.assert_allclose(z.std(0), std, rtol=0.03)
    assert np.abs(z).max() <= most
