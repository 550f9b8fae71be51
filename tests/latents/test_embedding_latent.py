"""The latent distribution of BourGAN: what it draws, and the noise that it chooses."""

import jax
import numpy as np
import pytest
from scipy import stats

from buresgan_jax import data, latents
from buresgan_jax.errors import UserError
from buresgan_jax.latents._embedding import noise_within_groups


def make_source(points):
    points = np.asarray(points, np.float32)
    return data.Source("points", len(points), points.shape[1:], lambda index: points[index], data.decode_points)


def groups(num=8, per_group=30, std=0.01, seed=0):
    """Points on a ring of radius 2.5."""
    angles = 2 * np.pi * np.arange(num) / num
    means = 2.5 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.repeat(means, per_group, axis=0) + std * np.random.default_rng(seed).normal(size=(num * per_group, 2))


def test_draws_are_a_mixture_around_the_embedded_points():
    latent = latents.embedding(40, num_points=200, noise=0.3)
    arrays = latent.preparation.compute(make_source(groups()), 0)
    assert jax.tree.map(np.shape, arrays) == jax.tree.map(lambda leaf: leaf.shape, latent.preparation.like)
    arrays = jax.tree.map(np.float32, arrays)
    z = np.asarray(jax.jit(latent.sample, static_argnums=2)(arrays, jax.random.key(0), 40_000), np.float64)
    covariance = arrays["centers"].T @ arrays["centers"] / 200 + 0.09 * np.eye(40)
    error = 5 * np.sqrt(np.diag(covariance) / 40_000)
    assert (np.abs(z.mean(0)) < error).all()
    np.testing.assert_allclose(z.T @ z / 40_000, covariance, atol=0.04)


def test_every_center_has_the_same_weight():
    latent = latents.embedding(40, num_points=240, noise=0.0)
    arrays = jax.tree.map(np.float32, latent.preparation.compute(make_source(groups(std=0.3)), 0))
    z = np.asarray(latent.sample(arrays, jax.random.key(0), 48_000))
    chosen = np.unique(z, axis=0, return_counts=True)[1]
    assert len(chosen) == 240
    assert stats.chisquare(chosen).pvalue > 1e-3


def test_the_dimension_is_the_rules_or_that_of_a_projection():
    source = make_source(groups())
    for dim in (40, 3, 100):
        arrays = latents.embedding(dim, num_points=200).preparation.compute(source, 0)
        assert arrays["centers"].shape == (200, dim)
        assert np.mean(np.sum(arrays["centers"] ** 2, axis=1)) == pytest.approx(dim)


def test_images_are_embedded_as_the_networks_see_them():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    source = data.Source("images", 40, (8, 8, 3), lambda index: images[index], data.decode_images)
    found = latents.embedding(30, num_points=40).preparation.compute(source, 0)
    distances = np.linalg.norm(((images[:, None] - images.astype(float)) / 127.5).reshape(40, 40, -1), axis=-1)
    ratios = distances / np.linalg.norm(found["centers"][:, None] - found["centers"], axis=-1).clip(1e-6)
    assert ratios[~np.eye(40, dtype=bool)].min() < found["distance_scale"] < ratios.max()


@pytest.mark.parametrize("std", [0.01, 0.1])
def test_the_chosen_noise_is_as_long_as_distances_inside_groups(std):
    """In the data's units: between two random points of a group, whose median distance is 1.67 standard deviations."""
    latent = latents.embedding(40, num_points=240)
    arrays = latent.preparation.compute(make_source(groups(std=std)), 0)
    length = arrays["noise"] * np.sqrt(2 * 40) * arrays["distance_scale"]
    assert 0.7 < length / (1.67 * std) < 1.6


def test_a_stray_point_does_not_change_the_noise():
    source, stray = groups(), np.concatenate([groups()[:239], [[100.0, 100.0]]])
    lengths = []
    for points in (source, stray):
        arrays = latents.embedding(40, num_points=240).preparation.compute(make_source(points), 0)
        lengths.append(arrays["noise"] * arrays["distance_scale"])
    assert lengths[1] == pytest.approx(lengths[0], rel=0.3)


def test_the_noise_of_one_group_is_as_long_as_its_edges():
    centers = np.stack([np.arange(50.0), np.zeros(50)], axis=1)
    assert noise_within_groups(centers) == pytest.approx(1 / 2)
    assert noise_within_groups(np.random.default_rng(0).normal(size=(300, 5))) < 0.5
    assert noise_within_groups(np.zeros((4, 2)) + [[0], [0], [1], [1]]) > 0
    assert noise_within_groups(np.zeros((4, 2))) > 0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((8, 2)), "needs 9 examples, the data have 8"),
        (np.zeros((9, 2)), "cannot be embedded: All distances between the points are 0"),
    ],
)
def test_data_that_cannot_be_embedded_are_one_clear_error(points, message):
    with pytest.raises(UserError, match=message):
        latents.embedding(4, num_points=9).preparation.compute(make_source(points), 0)


@pytest.mark.parametrize("num", [4, 16])
def test_few_centers_have_noise_between_them(num):
    centers = np.repeat([[0.0, 0], [9, 0]], num // 2, axis=0) + np.random.default_rng(0).normal(size=(num, 2))
    assert 0.05 < noise_within_groups(centers) < 2


def test_the_noise_around_a_curve_is_short_beside_the_curve():
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, size=1000)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    middle = np.random.default_rng(1).normal(scale=0.01, size=(100, 2))
    assert 0.01 < noise_within_groups(np.concatenate([circle, middle])) * 2 < 0.2  # times sqrt(2 dim): its length
