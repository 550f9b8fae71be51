"""Modes and divergence of classified samples."""

import numpy as np
import pytest
from scipy.stats import entropy

from buresgan_jax.metrics import class_coverage


def test_perfect_samples_reach_all_modes_and_the_floor_of_stacked_mnist():
    labels = np.random.default_rng(1).integers(1000, size=26_000)
    statistics = class_coverage(labels, np.ones(1000))
    assert statistics.modes == 1000
    assert statistics.reverse_kl_floor == pytest.approx(999 / 52_000, rel=0.03)
    assert statistics.reverse_kl == pytest.approx(statistics.reverse_kl_floor, abs=0.003)


def test_values_equal_the_authors_protocol_by_scipy():
    labels, reference = [3, 3, 3, 0, 1, 1], np.array([5, 0, 2, 1])
    p, q = np.array([1, 2, 0, 3]) / 6, reference / 8
    clipped = [np.maximum(each, 1e-7) for each in (p, q)]  # scipy normalizes
    statistics = class_coverage(labels, reference)
    assert statistics.modes == 3
    assert statistics.reverse_kl == pytest.approx(entropy(*clipped), rel=1e-12)
    assert abs(statistics.reverse_kl - entropy(*clipped[::-1])) > 0.1  # the other direction


def test_collapse_has_the_kl_of_a_point_mass():
    statistics = class_coverage(np.full(100, 7), np.ones(10))
    assert statistics.modes == 1
    assert statistics.reverse_kl == pytest.approx(np.log(10), abs=1e-4)


def test_few_samples_have_the_exact_expected_floor():
    # One sample of two equal classes: always log 2, up to the clipping.
    assert class_coverage([0], [1, 1]).reverse_kl_floor == pytest.approx(np.log(2), abs=1e-5)
    # Two samples: half of the time both classes are hit and the divergence is 0.
    assert class_coverage([0, 0], [1, 1]).reverse_kl_floor == pytest.approx(np.log(2) / 2, abs=0.1)


def test_the_reference_decides_and_results_are_plain_numbers():
    labels = np.repeat([0, 1], [30, 10])
    statistics = class_coverage(labels, [3, 1])
    assert statistics.reverse_kl == pytest.approx(0, abs=1e-12)
    assert statistics == class_coverage(labels, [0.75, 0.25])
    assert [type(value) for value in statistics] == [int, float, float]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1]], [1, 1]), r"got \(1, 1\) and \(2,\)"),
        (([1], [[1, 1]]), r"got \(1,\) and \(1, 2\)"),
        ((np.zeros(0, int), [1]), "got 0 of dtype int64"),
        (([0.5], [1]), "got 1 of dtype float64"),
        (([0, 2], [1, 1]), "from 0 to 1; got 0 to 2"),
        (([-1], [1, 1]), "got -1 to -1"),
        (([0], [1, -1]), "must not be negative"),
        (([0], [0, 0]), "at least one positive"),
    ],
)
def test_errors_say_what_was_got(arguments, message):
    with pytest.raises(ValueError, match=message):
        class_coverage(*arguments)
