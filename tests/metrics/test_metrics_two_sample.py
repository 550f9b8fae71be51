"""The Wasserstein distance between sets of points, and the kernel test, on generators that fool other numbers."""

import functools
import itertools
import pathlib
import sys

import numpy as np
import pytest

from buresgan_jax.metrics import kernel_two_sample_test, mode_statistics, sample_wasserstein, two_sample

sys.path[:0] = [str(pathlib.Path(__file__).parents[2] / "benchmarks")]
import mode_metrics  # noqa: E402

ring = mode_metrics.draw


def test_the_distance_is_that_of_the_best_of_all_assignments():
    samples, reference = np.random.default_rng(0).normal(size=(2, 6, 3))
    orders = itertools.permutations(range(6))
    expected = min(np.linalg.norm(samples - reference[list(order)], axis=1).mean() for order in orders)
    assert sample_wasserstein(samples, reference) == pytest.approx(expected, rel=1e-12)
    assert sample_wasserstein(samples, samples[::-1]) == 0


FOOLING = {  # whether the share, the divergence and the spread look perfect
    "eight points": (True, True, False),
    "modes of half the width": (True, True, False),
    "modes that are lines": (False, True, True),
    "40 lumps in each mode": (True, True, True),
    "15 % bridges": (False, True, True),
    "weights 1 : 3": (True, False, True),
}


@pytest.mark.parametrize("name", FOOLING)
def test_the_test_sees_what_single_numbers_do_not(name):
    samples = mode_metrics.GENERATORS[name](800, 1)
    found = mode_statistics(samples, mode_metrics.MEANS, mode_metrics.STD)
    assert found.modes == 8
    perfect = (found.high_quality_share > 0.98, found.reverse_kl < 0.02, abs(found.mode_spread - 1) < 0.1)
    assert perfect == FOOLING[name]
    assert kernel_two_sample_test(samples, ring(800, 2), num_permutations=100).p_value < 0.01


def test_replayed_data_pass_the_test_only_if_they_are_many():
    """A test on held-out points does not see memory, but it does see a few points that come again and again."""
    few, many = ring(50, 0), ring(4000, 0)
    again = np.random.default_rng(1).integers(50, size=800)
    assert kernel_two_sample_test(few[again], ring(800, 2), num_permutations=100).p_value < 0.01
    assert kernel_two_sample_test(many[:800], ring(800, 2), num_permutations=100).p_value > 0.01


@pytest.mark.parametrize("num_permutations", [3, 39])
def test_p_values_of_equal_distributions_are_uniform(num_permutations):
    """Also of the ring: short scales count few pairs, and must not make the test too strict."""
    test = functools.partial(kernel_two_sample_test, num_permutations=num_permutations)
    values = np.array([test(ring(60, 2 * i), ring(80, 2 * i + 1)).p_value for i in range(200)])
    for level in (0.25, 0.5) if num_permutations == 3 else (0.1, 0.25, 0.5):
        assert np.mean(values <= level) == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / 200))


def test_kernels_hold_no_subnormal_numbers():
    """Products of them are 60 times slower, and larger values are unchanged."""
    squared = np.linspace(0, 200, 2001, dtype=np.float32)
    kernel = two_sample._kernel(squared, 0.5)
    assert kernel.min() > 1e-30
    np.testing.assert_allclose(kernel, np.exp(-2 * squared.astype(np.float64)), rtol=1e-5, atol=1e-25)


@pytest.mark.parametrize(("offset", "scale"), [(0.01, 0.1), (0.5, 2)])
def test_the_scale_tells_how_large_the_difference_is(offset, scale):
    found = kernel_two_sample_test(ring(400, 0) + offset, ring(400, 1), num_permutations=50)
    assert found.scale < scale
    assert found.statistic > 5


@pytest.mark.parametrize("function", [sample_wasserstein, kernel_two_sample_test])
def test_bad_sets_are_refused(function):
    with pytest.raises(ValueError, match="shape"):
        function(np.zeros(5), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="dim"):
        function(np.zeros((5, 3)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="finite"):
        function(np.full((5, 2), np.nan), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="equally many|at least 2"):
        function(np.zeros((1, 2)), np.zeros((5, 2)))


def test_equal_points_are_no_error():
    assert kernel_two_sample_test(np.zeros((9, 2)), np.zeros((9, 2)), num_permutations=20).p_value > 0.4
