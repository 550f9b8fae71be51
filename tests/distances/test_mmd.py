"""Kernels and the maximum mean discrepancy, against double loops in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from buresgan_jax.distances import (
    cauchy_kernel,
    gaussian_kernel,
    linear_kernel,
    mean_kernel,
    mmd_witness,
    rational_quadratic_kernel,
    squared_mmd,
)

WIDTHS, EXPONENTS = (0.7, 2.0), (0.2, 1.0, 5.0)
# Kernels, and the same of two vectors in NumPy.
KERNELS = {
    "gaussian": (
        functools.partial(gaussian_kernel, scales=WIDTHS),
        lambda a, b: sum(np.exp(-np.sum((a - b) ** 2) / (2 * width**2)) for width in WIDTHS),
    ),
    "bounded": (
        functools.partial(gaussian_kernel, lower_bound=0.25, upper_bound=4.0),
        lambda a, b: np.exp(-np.clip(np.sum((a - b) ** 2), 0.25, 4.0) / 2),
    ),
    "rational_quadratic": (
        functools.partial(rational_quadratic_kernel, exponents=EXPONENTS),
        lambda a, b: sum((1 + np.sum((a - b) ** 2) / (2 * power)) ** -power for power in EXPONENTS),
    ),
    "cauchy": (
        functools.partial(cauchy_kernel, scales=WIDTHS),
        lambda a, b: sum(1 / (1 + np.sum((a - b) ** 2) / (2 * width**2)) for width in WIDTHS),
    ),
    "linear": (linear_kernel, np.dot),
}


def batches(dim, n=7, m=5):
    random = np.random.default_rng(dim)
    return random.normal(size=(n, dim)), 0.5 + random.normal(size=(m, dim))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dim", [3, 40])  # by differences, and by a product
@pytest.mark.parametrize("name", KERNELS)
def test_estimates_equal_double_loops(name, dim):
    kernel, by_hand = KERNELS[name]
    x, y = batches(dim)
    matrix = {
        (i, j): np.array([[by_hand(a, b) for b in second] for a in first])
        for i, first in enumerate((x, y))
        for j, second in enumerate((x, y))
    }
    off_diagonal = [np.mean(matrix[i, i][~np.eye(len(matrix[i, i]), dtype=bool)]) for i in (0, 1)]
    cross = matrix[0, 1].mean()
    options = {"kernel": kernel, "chunk_size": {3: None, 40: 2}[dim]}
    np.testing.assert_allclose(squared_mmd(x, y, **options), sum(off_diagonal) - 2 * cross, rtol=1e-10, atol=1e-12)
    biased = matrix[0, 0].mean() + matrix[1, 1].mean() - 2 * cross
    np.testing.assert_allclose(squared_mmd(x, y, unbiased=False, **options), biased, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(mean_kernel(x, **options), off_diagonal[0], rtol=1e-10)
    points = np.concatenate([x[:3], y[:3]])
    expected = [np.mean([by_hand(point, a) for a in x]) - np.mean([by_hand(point, b) for b in y]) for point in points]
    np.testing.assert_allclose(mmd_witness(points, x, y, **options), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dim", [3, 40])
@pytest.mark.parametrize("name", ["gaussian", "rational_quadratic", "cauchy"])
def test_derivatives(name, dim):
    x, y = batches(dim, 3, 4)
    function = functools.partial(squared_mmd, kernel=KERNELS[name][0])
    check_grads(jax.jit(function), (x, y), order=2, atol=1e-4, rtol=1e-4)
    in_chunks = jax.jit(jax.grad(functools.partial(function, chunk_size=2), argnums=(0, 1)))(x, y)
    for chunked, whole in zip(in_chunks, jax.jit(jax.grad(function, argnums=(0, 1)))(x, y), strict=True):
        np.testing.assert_allclose(chunked, whole, rtol=1e-10, atol=1e-14)


def test_the_estimate_is_unbiased_and_may_be_negative():
    # Between normal distributions in closed form: E k = (1 + 2 / width^2)^(-dim / 2) exp(-shift^2 / (2 (width^2 + 2))).
    dim, shift, n = 2, 0.6, 8
    within = (1 + 2.0) ** (-dim / 2)
    expected = 2 * within * (1 - np.exp(-(shift**2) / (2 * 3.0)))
    keys = jax.random.split(jax.random.key(0), 20_000)

    def estimate(key):
        x, y = jax.random.normal(key, (2, n, dim))
        return squared_mmd(x, y + jnp.array([[shift, 0.0]])), squared_mmd(x, y)

    apart, same = jax.jit(jax.vmap(estimate))(keys)
    for values, exact in ((apart, expected), (same, 0.0)):
        assert abs(np.mean(values) - exact) < 4 * np.std(values) / len(values) ** 0.5
    assert np.mean(same < 0) > 0.3


def test_distances_far_from_the_origin_keep_their_digits():
    x = 1000 + np.random.default_rng(0).integers(-8, 9, (6, 16)).astype(np.float32) / 4  # exact in float32
    expected = np.sum((x[:, None].astype(float) - x[None]) ** 2, axis=-1)
    np.testing.assert_allclose(gaussian_kernel(x, x, scales=(4.0,)), np.exp(-expected / 32), rtol=1e-5)


def test_bad_calls_are_explained():
    with pytest.raises(ValueError, match="at least 2 rows"):
        squared_mmd(np.zeros((1, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="equal feature dim"):
        squared_mmd(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"\[n, dim\]"):
        squared_mmd(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)))
