import math

import jax
import numpy as np
import pytest
from scipy import stats

from buresgan_jax import data
from buresgan_jax.data import grid_mixture, mixture_source, ring_mixture, sample_mixture, stacked_source
from buresgan_jax.data._random import Stream, random_bits
from buresgan_jax.data.source import Source, decode_images, decode_points
from buresgan_jax.errors import UserError

POINTS = (data.ring, data.grid, data.unbalanced_ring, data.unbalanced_grid, data.circle, data.spiral, data.two_scales)


def true_mixture(component):
    return component.facts["describe"](num_examples=None).mixture


def test_ring_means_are_the_papers():
    expected = [[2.5 * math.sin(t), 2.5 * math.cos(t)] for t in (2 * math.pi * k / 8 for k in range(8))]
    np.testing.assert_allclose(ring_mixture().means, expected, rtol=0, atol=1e-15)
    assert ring_mixture().std == 0.01
    np.testing.assert_array_equal(ring_mixture().weights, np.full(8, 1 / 8))


def test_grid_means_are_the_papers():
    expected = [[x, y] for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    np.testing.assert_array_equal(grid_mixture().means, expected)
    assert grid_mixture().std == 0.05
    np.testing.assert_allclose(grid_mixture().weights, np.full(25, 1 / 25), rtol=1e-15)


@pytest.mark.parametrize(
    ("component", "num_depleted", "num_modes"), [(data.unbalanced_ring, 4, 8), (data.unbalanced_grid, 10, 25)]
)
def test_unbalanced_mixtures_deplete_the_first_modes(component, num_depleted, num_modes):
    mixture = true_mixture(component)
    relative = np.array([0.05] * num_depleted + [1.0] * (num_modes - num_depleted))
    np.testing.assert_allclose(mixture.weights, relative / relative.sum(), rtol=1e-15)
    assert mixture.std == 0.05


def test_the_circle_and_the_spiral_are_even_curves():
    circle, spiral, groups = map(true_mixture, (data.circle, data.spiral, data.two_scales))
    np.testing.assert_allclose(np.linalg.norm(circle.means, axis=1), [2.5] * 200 + [0], atol=1e-12)
    assert circle.weights[-1] == pytest.approx(0.1)
    steps = np.linalg.norm(np.diff(spiral.means, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=5e-3)
    assert steps.mean() < 1.6 * spiral.std
    radii = np.linalg.norm(spiral.means, axis=1)
    assert (radii[0], radii[-1]) == pytest.approx((0.5, 4))
    assert (np.diff(radii) > 0).all()
    centers = groups.means.reshape(5, 5, 2).mean(1)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 4, rtol=1e-12)
    inner = np.linalg.norm(groups.means.reshape(5, 5, 2) - centers[:, None], axis=-1)
    np.testing.assert_allclose(inner, 0.4, rtol=1e-12)


@pytest.mark.parametrize("component", POINTS, ids=lambda component: component.name)
def test_samples_follow_the_mixture(component):
    mixture, num_points = true_mixture(component), 200_000
    points, modes = sample_mixture(mixture, np.arange(num_points), seed=3)
    assert points.dtype == np.float32
    counts = np.bincount(modes, minlength=len(mixture.weights))
    assert stats.chisquare(counts, mixture.weights * num_points).pvalue > 1e-3
    residuals = (points - mixture.means[modes]) / mixture.std
    for axis in range(2):
        assert stats.kstest(residuals[:, axis], "norm").pvalue > 1e-3
    assert abs(np.corrcoef(residuals.T)[0, 1]) < 0.01
    # The card's ceiling for high-quality samples: 1 - exp(-4.5).
    high_quality = np.mean(np.linalg.norm(residuals, axis=1) <= 3)
    np.testing.assert_allclose(high_quality, 1 - math.exp(-4.5), atol=1e-3)


def test_neighboring_points_and_seeds_are_independent():
    residuals = [
        (points - ring_mixture().means[modes])[:, 0]
        for points, modes in (sample_mixture(ring_mixture(), np.arange(100_000), seed=seed) for seed in (0, 1))
    ]
    assert abs(np.corrcoef(residuals[0][1:], residuals[0][:-1])[0, 1]) < 0.015
    assert abs(np.corrcoef(*residuals)[0, 1]) < 0.015


def test_mode_of_weight_zero_is_never_drawn():
    mixture = ring_mixture(num_modes=3, weights=[1, 2, 0])
    np.testing.assert_allclose(mixture.weights, [1 / 3, 2 / 3, 0])
    assert set(sample_mixture(mixture, np.arange(10_000), seed=0)[1]) == {0, 1}


@pytest.mark.parametrize("num_examples", [500, None])
def test_points_are_a_pure_function_of_index_and_seed(num_examples):
    source = mixture_source(grid_mixture(), name="grid", num_examples=num_examples, seed=5)
    indices = np.array([7, 499, 7, 0])
    np.testing.assert_array_equal(source.fetch(indices)[0], source.fetch(indices)[2])
    again = mixture_source(grid_mixture(), name="grid", num_examples=num_examples, seed=5)
    np.testing.assert_array_equal(source.fetch(indices), again.fetch(indices))
    other = mixture_source(grid_mixture(), name="grid", num_examples=num_examples, seed=6)
    assert not np.array_equal(source.fetch(indices), other.fetch(indices))
    assert source.fetch(indices).shape == (4, *source.example_shape)


def test_finite_data_are_the_beginning_of_the_endless():
    finite, endless = (mixture_source(ring_mixture(), name="ring", num_examples=n, seed=1) for n in (300, None))
    indices = np.arange(300)
    np.testing.assert_array_equal(finite.fetch(indices), endless.fetch(indices))
    np.testing.assert_array_equal(finite.labels(indices), endless.labels(indices))
    assert (finite.num_examples, endless.num_examples) == (300, None)


def test_recorded_points_never_change():
    """A resumed run must see the points of the run before: these were recorded with NumPy 2.4 when this was written."""
    points, modes = sample_mixture(ring_mixture(), np.array([0, 1, 2**40]), seed=42)
    np.testing.assert_array_equal(modes, [4, 0, 2])
    expected = [[-0.0013996747, -2.5047946], [-0.0093839699, 2.5034122], [2.5020742, 0.013996764]]
    np.testing.assert_allclose(points, expected, rtol=1e-5)


def test_streams_parts_and_seeds_give_different_bits():
    counters = np.arange(4)
    variants = [
        random_bits(counters, seed=seed, stream=stream, part=part)
        for seed in (0, 1, 2**32, 2**64)
        for stream in Stream
        for part in (0, 1)
    ]
    assert len({bits.tobytes() for bits in variants}) == len(variants)


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: ring_mixture(num_modes=0), "0 modes"),
        (lambda: ring_mixture(std=-1.0), "std -1.0"),
        (lambda: ring_mixture(std=float("nan")), "std nan"),
        (lambda: grid_mixture(weights=[1, 2]), "do not fit 25 modes"),
        (lambda: ring_mixture(num_modes=2, weights=[0, 0]), "not all 0"),
        (lambda: ring_mixture(num_modes=2, weights=[2, -1]), "at least 0"),
        (lambda: mixture_source(ring_mixture(), name="ring", num_examples=0, seed=0), "num_examples 0 of 'ring'"),
        (lambda: mixture_source(ring_mixture(), name="ring", num_examples=3, seed=-1), "seed -1 is negative"),
        (lambda: mixture_source(ring_mixture(), name="ring", num_examples=None, seed=-1), "seed -1 is negative"),
    ],
)
def test_impossible_mixtures_are_refused(build, match):
    with pytest.raises(UserError, match=match):
        build()


def test_decoding_maps_bytes_to_minus_one_to_one():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    decoded = jax.jit(decode_images)(images)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, (images.astype(np.float64) - 127.5) / 127.5, rtol=0, atol=1e-7)
    assert (decoded.min(), decoded.max()) == (-1, 1)


def test_decoding_leaves_points_alone():
    points = np.array([[1.5, -2.5]], np.float32)
    np.testing.assert_array_equal(jax.jit(decode_points)(points), points)


def _gray_source(*, num_examples=100, example_shape=(28, 28, 1), has_labels=True):
    """Images whose pixels all are the example's number, labeled with its last digit."""
    return Source(
        name="digits",
        num_examples=num_examples,
        example_shape=example_shape,
        fetch=lambda indices: np.broadcast_to(
            indices.astype(np.uint8).reshape(-1, *[1] * len(example_shape)), (len(indices), *example_shape)
        ),
        decode=decode_images,
        labels=(lambda indices: indices % 10) if has_labels else None,
    )


def test_stacked_digits_have_the_labels_of_their_channels():
    source = stacked_source(_gray_source(), num_examples=1000, seed=0)
    indices = np.arange(1000)
    images, labels = source.fetch(indices), source.labels(indices)
    assert images.shape == (1000, 28, 28, 3)
    assert images.dtype == np.uint8
    digits = images[:, 0, 0, :].astype(np.int64) % 10
    np.testing.assert_array_equal(labels, 100 * digits[:, 0] + 10 * digits[:, 1] + digits[:, 2])
    np.testing.assert_array_equal(images, images[:, :1, :1, :].repeat(28, 1).repeat(28, 2))
    assert (source.num_examples, source.example_shape) == (1000, (28, 28, 3))


def test_stacked_digits_are_uniform_and_independent():
    labels = stacked_source(_gray_source(), seed=1).labels(np.arange(128_000))
    assert stats.chisquare(np.bincount(labels, minlength=1000)).pvalue > 1e-3


def test_stacked_digits_depend_on_index_and_seed_only():
    indices = np.array([5, 127_999, 5])
    first, second, other = (stacked_source(_gray_source(), seed=seed).fetch(indices) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], first[2])
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("gray", "num_examples", "seed", "match"),
    [
        ({"example_shape": (32, 32, 3)}, 10, 0, r"shape \(32, 32, 3\).*needs gray"),
        ({"example_shape": (2,)}, 10, 0, "needs gray"),
        ({"has_labels": False}, 10, 0, "no labels"),
        ({"num_examples": None}, 10, 0, "endless"),
        ({}, 0, 0, "num_examples 0"),
        ({}, 10, -1, "seed -1"),
    ],
)
def test_what_cannot_be_stacked_is_refused(gray, num_examples, seed, match):
    with pytest.raises(UserError, match=match):
        stacked_source(_gray_source(**gray), num_examples=num_examples, seed=seed)
