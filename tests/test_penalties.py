import jax
import numpy as np
import pytest

from buresgan_jax import penalties

PENALTIES = {"bures": penalties.bures_penalty, "frobenius": penalties.frobenius_penalty}


def features(seed, n, dim):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def prepared(x):
    """The authors' preprocessing in NumPy, float64."""
    x = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "dim"), [(32, 12), (12, 32)])
def test_bures_penalty_is_the_nuclear_norm_form_of_the_paper(n, dim):
    fake, real = features(0, n, dim), features(1, n, dim)
    nuclear = np.linalg.svd(prepared(fake) @ prepared(real).T, compute_uv=False).sum()
    np.testing.assert_allclose(penalties.bures_penalty(fake, real, method="svd"), 2 * n - 2 * nuclear, rtol=1e-5)
    np.testing.assert_allclose(penalties.bures_penalty(fake, real), 2 * n - 2 * nuclear, rtol=1e-2)
    np.testing.assert_allclose(penalties.bures_penalty(fake, real, scale="mean", method="svd") * n, 2 * n - 2 * nuclear,
                               rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize(("n", "dim"), [(32, 12), (12, 32)])
def test_frobenius_penalty_is_the_difference_of_covariances(n, dim):
    fake, real = features(0, n, dim), features(1, n, dim)
    difference = prepared(fake).T @ prepared(fake) - prepared(real).T @ prepared(real)
    np.testing.assert_allclose(penalties.frobenius_penalty(fake, real), np.sum(difference**2), rtol=1e-4)


@pytest.mark.parametrize("name", PENALTIES)
def test_only_the_fakes_get_a_gradient(name):
    fake_gradient, real_gradient = jax.grad(PENALTIES[name], argnums=(0, 1))(features(0, 8, 4), features(1, 8, 4))
    assert np.abs(fake_gradient).max() > 0
    assert np.abs(real_gradient).max() == 0


def test_a_collapsed_batch_costs_its_size():
    np.testing.assert_allclose(penalties.bures_penalty(np.ones((16, 4), np.float32), features(1, 16, 4)), 16, rtol=1e-5)
