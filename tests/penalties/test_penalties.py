import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from buresgan_jax import penalties

PENALTIES = {"bures": penalties.bures_penalty, "frobenius": penalties.frobenius_penalty, "gdpp": penalties.gdpp_penalty}


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


@pytest.mark.parametrize("name", PENALTIES)
def test_a_scalar_is_promised_so_one_batch_is_demanded(name):
    one, stack = features(0, 8, 4), np.stack([features(0, 8, 4)] * 2)
    for fake, real in ((stack, stack), (stack, one), (one, stack), (one[0], one)):
        with pytest.raises(ValueError, match=r"_features must be one batch of feature vectors \[n, dim\], got shape"):
            PENALTIES[name](fake, real)
    with pytest.raises(TypeError, match="fake_features must be an array, got list"):
        PENALTIES[name](one.tolist(), one)


def test_gdpp_pairs_rows():
    with pytest.raises(ValueError, match="equal numbers of rows, which this penalty pairs, got 8 and 6"):
        penalties.gdpp_penalty(features(0, 8, 4), features(1, 6, 4))


def test_a_collapsed_batch_costs_its_size():
    np.testing.assert_allclose(penalties.bures_penalty(np.ones((16, 4), np.float32), features(1, 16, 4)), 16, rtol=1e-5)


@pytest.mark.parametrize(("n", "dim"), [(12, 32), (12, 5)])
def test_gdpp_penalty_is_that_of_the_spectra(n, dim):
    (values, vectors), (real_values, real_vectors) = (gram_spectrum(features(seed, n, dim)) for seed in (0, 1))
    weights = (real_values - real_values.min()) / (real_values.max() - real_values.min())
    alignments = np.array([abs(vectors[:, j] @ real_vectors[:, j]) for j in range(n)])
    expected = 1e-4 * np.mean((values - real_values) ** 2) - np.sum(weights * alignments)
    np.testing.assert_allclose(penalties.gdpp_penalty(features(0, n, dim), features(1, n, dim)), expected, rtol=1e-4)


def gram_spectrum(x):
    x = x.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.linalg.eigh(x @ x.T)


def test_the_authors_form_of_gdpp_keeps_the_signs_of_eigenvectors():
    fake, real = features(0, 6, 9), features(1, 6, 9)
    alignments = np.sum(np.linalg.eigh(_gram32(fake))[1] * np.linalg.eigh(_gram32(real))[1], axis=0)
    assert alignments.min() < 0 < alignments.max()
    assert penalties.gdpp_penalty(fake, real) < penalties.gdpp_penalty(fake, real, signed=True)


def _gram32(x):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def test_the_gradient_of_gdpp_equals_differences_and_is_finite_at_ties(x64):
    del x64
    fake, real = features(0, 5, 8).astype(np.float64), features(1, 5, 8).astype(np.float64)
    check_grads(lambda x: penalties.gdpp_penalty(x, real), (fake,), order=1, rtol=1e-5, atol=1e-6)
    for tied in (np.ones((6, 3)), np.concatenate([np.eye(3), np.eye(3)]), np.zeros((6, 3))):
        gradient = jax.grad(penalties.gdpp_penalty)(tied, features(1, 6, 3).astype(np.float64))
        assert np.isfinite(gradient).all()


def test_gradient_penalty_of_a_quadratic_by_hand():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(3, 3)).astype(np.float32)
    real, fake, positions = features(0, 4, 3), features(1, 4, 3), rng.uniform(size=4).astype(np.float32)
    between = positions[:, None] * real + (1 - positions[:, None]) * fake
    norms = np.linalg.norm(between @ (matrix + matrix.T), axis=1)
    value = penalties.gradient_penalty(lambda x: jnp.sum((x @ matrix) * x, 1, keepdims=True), real, fake, positions)
    np.testing.assert_allclose(value, np.mean((norms - 1) ** 2), rtol=1e-5)


def test_gradient_penalty_has_one_norm_for_a_pack_and_a_gradient_where_the_norm_is_zero():
    real, fake, weights = features(0, 4, 3), features(1, 4, 3), features(2, 1, 6)[0]
    positions = np.array([0.2, 0.7], np.float32)
    discriminate = lambda weights: lambda x: x.reshape(2, 6) @ weights  # noqa: E731
    value = penalties.gradient_penalty(discriminate(weights), real, fake, positions)
    np.testing.assert_allclose(value, (np.linalg.norm(weights) - 1) ** 2, rtol=1e-5)
    gradient = jax.grad(lambda weights: penalties.gradient_penalty(discriminate(weights), real, fake, positions))
    assert np.isfinite(gradient(np.zeros(6, np.float32))).all()
