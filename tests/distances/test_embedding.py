"""Bourgain's embedding: its properties, and the figures of another implementation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from buresgan_jax import bourgain_embedding
from buresgan_jax.distances import embedding

RANDOM = np.random.default_rng


def mixture(per_mode=20, std=0.1, seed=0):
    """Points of the 5 x 5 grid, spacing 2."""
    means = np.stack(np.meshgrid(*2 * [np.linspace(-4, 4, 5)]), -1).reshape(-1, 2)
    return np.repeat(means, per_mode, axis=0) + std * RANDOM(seed).normal(size=(25 * per_mode, 2))


def ring(seed):
    """8 modes of 50 points, radius 2."""
    angles = np.repeat(2 * np.pi * np.arange(8) / 8, 50)
    return 2 * np.stack([np.sin(angles), np.cos(angles)], axis=1) + 0.05 * RANDOM(seed).normal(size=(400, 2))


def distances_between(points):
    return np.linalg.norm(points[:, None] - points, axis=-1)


@pytest.mark.parametrize(
    ("num_points", "expected"), [(2, 5), (400, 45), (1000, 50), (1024, 50), (1250, 55), (8192, 65)]
)
def test_the_dimension_is_counted_in_integers(num_points, expected):
    assert embedding.embedding_dim(num_points) == expected
    assert embedding.embedding_dim(num_points, base_probability=0.25) == 5 * -(-(num_points - 1).bit_length() // 2)


@pytest.mark.parametrize("redraw_empty", [True, False])
def test_coordinates_are_distances_to_random_subsets(redraw_empty):
    """By loops: a coordinate changes by at most the distance between two points (it is Lipschitz)."""
    points = mixture(4)
    subsets = embedding._draw_subsets(RANDOM(0), 100, 5, 0.5, redraw_empty)
    sizes = np.array([len(each) for each in subsets]).reshape(5, 7)
    assert np.all(np.abs(sizes.mean(0) - 100 / 2 ** np.arange(1, 8)) < 12)
    assert (sizes.min() > 0) == redraw_empty
    distances = distances_between(points)
    expected = [[min([distances[row, each] for each in subset], default=0) for subset in subsets] for row in range(100)]
    raw = embedding._distances_to_subsets(embedding._distances_to_all(distances, "precomputed"), 100, subsets)
    np.testing.assert_allclose(raw, expected, rtol=1e-12)
    assert np.all(np.abs(raw[:, None] - raw) <= distances[..., None] + 1e-12)
    found = bourgain_embedding(distances, metric="precomputed", redraw_empty=redraw_empty).coordinates
    centered = np.array(expected) - np.mean(expected, axis=0)
    np.testing.assert_allclose(found, centered * np.sqrt(35 / np.mean(np.sum(centered**2, axis=1))), rtol=1e-10)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-10)
    assert np.mean(np.sum(found**2, axis=1)) == pytest.approx(35, rel=1e-10)


def test_units_of_the_distances_change_the_scale_only():
    distances = distances_between(mixture())
    one, four = (bourgain_embedding(factor * distances, metric="precomputed") for factor in (1, 4))
    np.testing.assert_allclose(four.coordinates, one.coordinates, rtol=1e-9, atol=1e-12)
    assert four.scale == pytest.approx(4 * one.scale, rel=1e-9)
    assert four.largest_root_ratio == pytest.approx(2 * one.largest_root_ratio, rel=1e-9)
    assert four.distortion == pytest.approx(one.distortion, rel=1e-9)


def test_moved_and_turned_points_have_the_same_embedding():
    points, turn = RANDOM(0).normal(size=(60, 5)), stats.ortho_group.rvs(5, random_state=0)
    one, other = (bourgain_embedding(each) for each in (points, points @ turn + 3))
    np.testing.assert_allclose(other.coordinates, one.coordinates, atol=2e-5)


def test_points_in_another_order_have_the_rows_in_that_order(monkeypatch):
    points, order = mixture(4), RANDOM(1).permutation(100)
    one = bourgain_embedding(points)
    subsets = embedding._draw_subsets(RANDOM(0), 100, 5, 0.5, True)
    renamed = [np.argsort(order)[each] for each in subsets]
    monkeypatch.setattr(embedding, "_draw_subsets", lambda *arguments: renamed)
    other = bourgain_embedding(points[order])
    np.testing.assert_allclose(other.coordinates, one.coordinates[order], atol=1e-6)


@pytest.mark.parametrize("dim", [2, 40])
def test_equal_points_have_equal_rows_and_do_not_count(dim):
    points = RANDOM(0).normal(size=(50, dim)).astype(np.float32)
    found = bourgain_embedding(np.concatenate([points, points + 0]))
    np.testing.assert_array_equal(found.coordinates[:50], found.coordinates[50:])
    assert np.isfinite(found[1:]).all()
    assert found.scale > 0
    assert found.distortion < 50


def test_figures_are_those_of_all_pairs():
    points = mixture(4)
    found = bourgain_embedding(points)
    pairs = np.triu_indices(100, 1)
    wanted, embedded = distances_between(points)[pairs], distances_between(found.coordinates)[pairs]
    ratios = wanted / embedded
    assert found.scale == pytest.approx(np.exp(np.mean(np.log(ratios))), rel=1e-5)
    assert found.largest_root_ratio == pytest.approx(np.sqrt(ratios.max()), rel=1e-5)
    assert found.distortion == pytest.approx(ratios.max() / ratios.min(), rel=1e-5)
    expected = stats.wasserstein_distance(np.log(wanted), np.log(found.scale * embedded))
    assert found.log_distance_error == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("sizes", [(7, 7), (7, 5), (1, 9)])
def test_the_error_between_laws_is_scipys(sizes):
    first, second = (RANDOM(size).exponential(size=size) for size in sizes)
    expected = stats.wasserstein_distance(np.log(first), np.log(second))
    assert embedding.log_distance_error(first, np.append(second, 0)) == pytest.approx(expected, rel=1e-12)
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="finite and at least 0"):
            embedding.log_distance_error(first, np.append(second, bad))


REFERENCE = {  # means over ten seeds (five for the cloud) of an independent implementation
    "grid": (functools.partial(mixture, 50), 55, 5.42, 0.963, 0.465, 0.204),
    "small grid": (mixture, 45, 4.40, 0.977, 0.521, 0.185),
    "ring": (ring, 45, 3.59, 0.662, 0.265, 0.193),
    "cloud": (lambda seed: RANDOM(seed).normal(size=(1000, 200)), 50, 24.2, 5.35, 2.05, 0.095),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_figures_agree_with_another_implementation(name):
    draw, dim, distortion, root_ratio, scale, error = REFERENCE[name]
    found = [bourgain_embedding(draw(seed=seed), redraw_empty=False, seed=seed) for seed in range(5)]
    assert found[0].coordinates.shape[1] == dim
    means = np.mean([each[1:] for each in found], axis=0)
    np.testing.assert_allclose(means, [scale, root_ratio, distortion, error], rtol=0.2)
    assert means[0] == pytest.approx(scale, rel=0.02)


def angles(x, y):
    return jnp.arccos(jnp.clip(x @ y.T, -1, 1))


@pytest.mark.parametrize("metric", ["l1", "angle", angles])
def test_metrics(metric):
    points = RANDOM(0).normal(size=(40, 6))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosines = np.clip(points @ points.T, -1, 1)
    expected = {"l1": np.abs(points[:, None] - points).sum(-1), "angle": np.arccos(cosines), angles: np.arccos(cosines)}
    expected = expected[metric] * (1 - np.eye(40))
    of_points = bourgain_embedding(points, metric=metric)
    of_distances = bourgain_embedding(expected, metric="precomputed")
    np.testing.assert_allclose(of_points.coordinates, of_distances.coordinates, atol=1e-3)


def test_images_are_flattened_and_far_points_keep_small_distances():
    images = 0.01 * RANDOM(0).normal(size=(30, 4, 4, 3)).astype(np.float32) + 1000
    found = embedding._distances_to_all(images, "euclidean")(np.arange(30))
    np.testing.assert_allclose(found, distances_between(np.float64(images).reshape(30, -1)), rtol=1e-2, atol=1e-6)


def test_a_projection_has_its_dimension_and_the_size_of_noise():
    points = mixture(8)
    whole, few = (bourgain_embedding(points, dim=dim) for dim in (None, 6))
    assert few.coordinates.shape == (200, 6)
    assert np.mean(np.sum(few.coordinates**2, axis=1)) == pytest.approx(6)
    np.testing.assert_allclose(few.coordinates.mean(0), 0, atol=1e-10)
    assert few.distortion > whole.distortion
    assert np.linalg.matrix_rank(few.coordinates) == 6


def test_blocks_change_nothing(monkeypatch):
    points = mixture(4)
    whole = bourgain_embedding(points)
    monkeypatch.setattr(embedding, "_BLOCK_ENTRIES", 700)
    seen = []
    found = bourgain_embedding(points, track=lambda blocks: (seen.append(each) or each for each in blocks))
    np.testing.assert_allclose(found.coordinates, whole.coordinates, atol=1e-6)
    assert seen == list(range(0, 100, 7))


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (np.ones((1, 2)), {}, "at least 2 points"),
        (np.ones((5, 2)), {}, "All distances between the points are 0"),
        (np.ones((5, 2)), {"repetitions": 0}, "1 repetition"),
        (np.ones((5, 2)), {"base_probability": 1.0}, "between 0 and 1"),
        (np.ones((5, 2)), {"metric": "euclidian"}, "Did you mean 'euclidean'"),
        (np.arange(5.0)[:, None], {"dim": 0}, "dim must be at least 1"),
        (np.ones((5, 2)), {"metric": "precomputed"}, r"shape \[n, n\]"),
        (np.arange(9.0).reshape(3, 3), {"metric": "precomputed"}, "symmetric"),
        (np.array([[0, np.nan], [np.nan, 0]]), {"metric": "precomputed"}, "finite"),
        (np.eye(3), {"metric": "precomputed"}, "0 on the diagonal"),
        (np.array([[0.0, 1.0], [np.inf, 0.0]]), {}, "not finite"),
    ],
)
def test_what_cannot_be_embedded_is_an_error(points, options, message):
    with pytest.raises(ValueError, match=message):
        bourgain_embedding(points, **options)


def test_distances_have_gradients_in_jitted_code():
    x, y = (jnp.asarray(RANDOM(seed).normal(size=(4, 5)), jnp.float32).at[0].set(1) for seed in (0, 1))
    for metric in embedding.EMBEDDING_METRICS:
        distance = functools.partial(embedding.pairwise_distances, metric=metric)
        gradient = jax.jit(jax.grad(lambda x, distance=distance: jnp.sum(distance(x, y))))(x)
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
        assert np.isfinite(jax.jvp(lambda x, distance=distance: distance(x, y), (x,), (x,))[1]).all()
