"""Entropy from nearest neighbors: laws of known entropy, derivatives, chunks, and what the mean of logarithms sees."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial import distance

from buresgan_jax import nearest_neighbor_cross_entropy, nearest_neighbor_entropy, squared_neighbor_distances
from buresgan_jax.distances import entropy

RANDOM = np.random.default_rng
NORMAL = 0.5 * math.log(2 * math.pi * math.e)  # entropy of a standard normal number


def batch(seed, n=7, dim=3, dtype=np.float64):
    return RANDOM(seed).normal(size=(n, dim)).astype(dtype)


@pytest.mark.parametrize("neighbor", [1, 5])
@pytest.mark.parametrize(("dim", "within"), [(1, 0.1), (2, 0.1), (8, 0.15), (16, 0.6)])
def test_the_entropy_of_normal_samples(dim, within, neighbor):
    samples = batch(dim, 4000, dim, np.float32)
    assert abs(nearest_neighbor_entropy(samples, neighbor=neighbor) - dim * NORMAL) < within * neighbor**0.5


def test_the_entropy_of_other_laws():
    cube, unit = RANDOM(0).uniform(0, 2, (4000, 2)).astype(np.float32), batch(1, 4000, 3, np.float32)
    assert nearest_neighbor_entropy(cube) == pytest.approx(2 * math.log(2), abs=0.06)
    spread = nearest_neighbor_entropy(RANDOM(2).exponential(size=(4000, 1)).astype(np.float32))
    assert spread == pytest.approx(1, abs=0.06)
    # Directions: uniform on a sphere of area 4 pi, and on a circle; lengths do not count.
    assert nearest_neighbor_entropy(unit, metric="cosine") == pytest.approx(math.log(4 * math.pi), abs=0.06)
    assert nearest_neighbor_entropy(unit[:, :2], metric="cosine") == pytest.approx(math.log(2 * math.pi), abs=0.06)


@pytest.mark.parametrize("scale", [0.8, 1.0, 2.0])
def test_the_cross_entropy_of_normal_laws(scale):
    x, y = batch(0, 4000, 2, np.float32), scale * batch(1, 4000, 2, np.float32)
    expected = 2 * (0.5 * math.log(2 * math.pi * scale**2) + 0.5 / scale**2)
    assert nearest_neighbor_cross_entropy(x, y) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_scaling_adds_dim_times_its_logarithm(factor):
    x = batch(0, 50, 4, np.float32)
    found = nearest_neighbor_entropy(np.float32(factor) * x) - nearest_neighbor_entropy(x)
    assert found == pytest.approx(4 * math.log(factor), abs=1e-4)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("neighbor", [1, 2, 4])
@pytest.mark.parametrize("dim", [3, 5])  # searched by differences, and by a product
def test_distances_are_those_of_a_sorted_matrix(dim, neighbor, chunk_size):
    x, y = batch(0, 7, dim), batch(1, 5, dim)
    options = {"neighbor": neighbor, "chunk_size": chunk_size}
    expected = np.sort(distance.cdist(x, y) ** 2)[:, neighbor - 1]
    np.testing.assert_allclose(squared_neighbor_distances(x, y, **options), expected)
    within = np.sort(distance.cdist(x, x) ** 2)[:, neighbor]
    np.testing.assert_allclose(squared_neighbor_distances(x, **options), within)
    cosines = np.sort(2 * distance.cdist(x, y, "cosine"))[:, neighbor - 1]
    np.testing.assert_allclose(squared_neighbor_distances(x, y, metric="cosine", **options), cosines, rtol=1e-9)


@pytest.mark.parametrize("dim", [3, 20])
def test_neighbors_are_found_far_from_the_origin(dim):
    x, y = (1000 + batch(seed, 50, dim, np.float32) for seed in (0, 1))
    expected = np.min(distance.cdist(x, y) ** 2, axis=1)
    np.testing.assert_allclose(squared_neighbor_distances(x, y), expected, rtol=1e-3)
    hidden = np.concatenate([y, np.zeros((30, dim), np.float32)])
    np.testing.assert_allclose(squared_neighbor_distances(x, hidden, 50), expected, rtol=1e-3)


def test_the_place_of_the_least_value_is_numpys_for_ties_infinities_and_nan():
    values = np.random.default_rng(0).integers(6, size=(12, 40)).astype(np.float32)
    values[:, 0], values[3, 1], values[[2, 5], 2], values[1:, 3] = np.inf, -np.inf, np.nan, np.inf
    np.testing.assert_array_equal(entropy._argmin(jnp.asarray(values)), np.argmin(values, axis=0))


def test_rows_beyond_the_count_are_not_seen():
    x, y = batch(0, dtype=np.float32), batch(1, dtype=np.float32)
    hidden = np.concatenate([y[:3], np.full((4, 3), np.nan, np.float32)])
    for function in (squared_neighbor_distances, nearest_neighbor_cross_entropy):
        counted = jax.jit(function)(x, np.where(np.isnan(hidden), x[0], hidden), np.int32(3))
        np.testing.assert_allclose(counted, function(x, y[:3]), rtol=1e-5)
        assert np.isinf(function(x, y, 1, neighbor=2)).all()
    value, gradient = jax.value_and_grad(nearest_neighbor_cross_entropy)(x, y, 0)
    assert np.isinf(value)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("neighbor", [1, 2])
def test_derivatives(neighbor, metric):
    x, y, options = batch(0), batch(1, 5), {"neighbor": neighbor, "metric": metric}
    cross = functools.partial(nearest_neighbor_cross_entropy, **options)
    check_grads(cross, (x, y), order=2, atol=1e-4, rtol=1e-4)
    check_grads(functools.partial(nearest_neighbor_entropy, **options), (x,), order=2, atol=1e-4, rtol=1e-4)
    for chunked, whole in zip(*(
        jax.grad(functools.partial(cross, chunk_size=size), argnums=(0, 1))(x, y) for size in (3, None)
    ), strict=True):  # fmt: skip
        np.testing.assert_allclose(chunked, whole, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_the_gradient_points_away_from_the_neighbor_with_the_norm_of_one_over_its_distance():
    x, y = batch(0), batch(1, 20)
    gradient = jax.grad(nearest_neighbor_cross_entropy)(x, y) / x.shape[1]
    difference = x - y[np.argmin(distance.cdist(x, y), axis=1)]
    expected = difference / np.sum(difference**2, axis=1, keepdims=True) / len(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equal_rows_give_a_low_finite_value_and_a_finite_gradient(metric, value):
    x = np.full((8, 3), value, np.float32)
    for function in (nearest_neighbor_entropy, lambda x, metric: nearest_neighbor_cross_entropy(x, x, metric=metric)):
        found, gradient = jax.value_and_grad(function)(x, metric=metric)
        assert -1000 < found < -10
        assert np.isfinite(gradient).all()
    pairs = batch(0, 8, 3, np.float32).repeat(2, axis=0)
    assert np.isfinite(jax.grad(nearest_neighbor_entropy)(pairs)).all()
    assert nearest_neighbor_entropy(pairs) < -20


def test_a_law_of_two_points_has_no_entropy_though_its_variance_is_that_of_normal_samples():
    # The distance to the code of the same row a step ago, all that a buffer of one batch shows, cannot tell them apart.
    normal = RANDOM(0).normal(size=(2, 2000, 16)).astype(np.float32)
    two_points = RANDOM(1).choice(np.float32([-1, 1]), size=(2, 2000, 1)) * np.ones((1, 1, 16), np.float32)
    for now, before in (normal, two_points):
        assert np.log(np.mean((now - before) ** 2)) == pytest.approx(math.log(2), abs=0.1)
    assert nearest_neighbor_cross_entropy(*normal) - nearest_neighbor_cross_entropy(*two_points) > 100


def test_fifty_thousand_rows_need_no_matrix_of_pairs():
    rows = jax.ShapeDtypeStruct((50_000, 16), jnp.float32)
    memory = jax.jit(jax.value_and_grad(nearest_neighbor_entropy)).lower(rows).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 100 * 2**20  # the matrix has 10 GB


def test_wrong_calls_are_explained():
    x = batch(0, dtype=np.float32)
    with pytest.raises(ValueError, match="neighbor must be from 1 to the number of candidates, 6; got 7"):
        nearest_neighbor_entropy(x, neighbor=7)
    with pytest.raises(ValueError, match="the number of candidates, 0; got 1"):
        nearest_neighbor_entropy(x[:1])
    with pytest.raises(ValueError, match="metric must be one of 'euclidean', 'cosine', got 'cosin'.* 'cosine'"):
        nearest_neighbor_entropy(x, metric="cosin")
    with pytest.raises(ValueError, match="A count needs y"):
        squared_neighbor_distances(x, None, 3)
