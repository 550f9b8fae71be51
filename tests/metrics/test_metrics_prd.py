"""Precision-recall curves of distributions."""

import math

import numpy as np
import pytest
from golden import metrics as golden_metrics

from buresgan_jax.metrics import (
    PrecisionRecallCurve,
    largest_f_score,
    precision_recall_curve,
    precision_recall_curve_of_histograms,
)

REAL, FAKE = golden_metrics.features("plain")
FEW = {"num_clusters": 5, "num_runs": 3}
MEANS = 50 * np.eye(4)


def scores(curve):
    return largest_f_score(curve), largest_f_score(curve, beta=1 / 8)


def around(modes, seed):
    """Points close to the means of some modes, far from those of the others."""
    return MEANS[modes] + np.random.default_rng(seed).normal(size=(len(modes), 4))


def by_loops(real, fake, num_angles):
    """The curve and its two scores as the paper defines them, one slope and one bin at a time."""
    precision, recall = [], []
    for number in range(num_angles):
        slope = math.tan(1e-10 + number * (math.pi / 2 - 2e-10) / (num_angles - 1))
        total = 0.0
        for one, other in zip(real, fake, strict=True):
            total += min(slope * one / sum(real), other / sum(fake))
        precision.append(total)
        recall.append(total / slope)
    pairs = list(zip(precision, recall, strict=True))
    best = [max((1 + square) * p * r / (square * p + r + 1e-10) for p, r in pairs) for square in (64, 1 / 64)]
    return precision, recall, best


@pytest.mark.parametrize("num_angles", [3, 1001])
def test_the_curve_equals_loops_over_slopes_and_bins(num_angles):
    real, fake = np.random.default_rng(0).integers(0, 9, size=(2, 20))
    curve = precision_recall_curve_of_histograms(real, fake, num_angles=num_angles)
    precision, recall, best = by_loops(real.tolist(), fake.tolist(), num_angles)
    np.testing.assert_allclose(curve.precision, precision, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall, rtol=1e-5, atol=1e-12)  # 1 / slope at the steepest angles
    assert scores(curve) == pytest.approx(best, rel=1e-8)


def test_equal_histograms_score_one_and_disjoint_ones_zero():
    equal = precision_recall_curve_of_histograms([1, 2, 0, 5], [2, 4, 0, 10])
    assert scores(equal) == pytest.approx((1, 1), rel=1e-12)
    assert max(equal.precision.max(), equal.recall.max()) <= 1
    disjoint = precision_recall_curve_of_histograms([1, 2, 0], [0, 0, 3])
    assert (disjoint.precision.max(), disjoint.recall.max(), *scores(disjoint)) == (0, 0, 0, 0)


def test_two_bins_by_hand():
    # r = (1/2, 1/2) and f = (1, 0): precision min(slope / 2, 1), recall min(1 / 2, 1 / slope). Best at slope 2.
    lost = precision_recall_curve_of_histograms([1, 1], [1, 0])
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001))
    np.testing.assert_allclose(lost.precision, np.minimum(slopes / 2, 1), rtol=1e-12)
    np.testing.assert_allclose(lost.recall, np.minimum(1 / 2, 1 / slopes), rtol=1e-5)
    assert scores(lost) == pytest.approx((65 / 129, 65 / 66), rel=3e-3)
    # r = (1, 0) and f = (3/4, 1/4): a quarter of the fakes is wrong, nothing is lost. Best at slope 3 / 4.
    wrong = precision_recall_curve_of_histograms([1, 0], [3, 1])
    assert scores(wrong) == pytest.approx((65 * 0.75 / (64 * 0.75 + 1), 65 * 0.75 / (0.75 + 64)), rel=3e-3)


def test_swapped_histograms_swap_precision_and_recall():
    real, fake = np.random.default_rng(1).integers(0, 9, size=(2, 20))
    curve, swapped = (precision_recall_curve_of_histograms(*pair) for pair in ((real, fake), (fake, real)))
    np.testing.assert_array_equal(swapped.precision, curve.recall[::-1])
    np.testing.assert_array_equal(swapped.recall, curve.precision[::-1])
    assert scores(swapped) == pytest.approx(scores(curve)[::-1], rel=1e-12)


def test_separate_clusters_give_the_curve_of_their_histograms():
    real, fake = around(np.arange(120) % 4, 0), around(np.arange(120) % 2, 1)
    curve = precision_recall_curve(real, fake, num_clusters=4, num_runs=3)
    expected = precision_recall_curve_of_histograms([1, 1, 1, 1], [1, 1, 0, 0])
    np.testing.assert_allclose(curve, expected, rtol=1e-12)


def test_the_curve_is_the_mean_over_runs_and_the_seed_makes_it():
    options = {"num_clusters": 5, "seed": 1}
    one, two, other = (precision_recall_curve(REAL[:100], FAKE, num_runs=num, **options) for num in (1, 2, 2))
    np.testing.assert_array_equal(other, two)
    second = 2 * np.asarray(two) - one
    assert (abs(second - one) > 1e-3).any()
    assert ((second > -1e-12) & (second < 1 + 1e-12)).all()
    assert (precision_recall_curve(REAL[:100], FAKE, num_runs=1, num_clusters=5).recall != one.recall).any()


def test_order_changes_nothing_and_swapped_features_swap_the_curve():
    shuffle = np.random.default_rng(0).permutation
    curve = precision_recall_curve(REAL, FAKE, **FEW)  # 120 and 100: a part of the reals
    np.testing.assert_array_equal(precision_recall_curve(shuffle(REAL), shuffle(FAKE), **FEW), curve)
    swapped = precision_recall_curve(FAKE, REAL, **FEW)
    np.testing.assert_allclose(swapped.recall, curve.precision[::-1], rtol=1e-12)
    np.testing.assert_allclose(swapped.precision, curve.recall[::-1], rtol=1e-12)


def test_a_set_with_itself_scores_one_and_a_far_one_zero():
    real = REAL.astype(np.float32)
    assert scores(precision_recall_curve(real, real[::-1], **FEW)) == pytest.approx((1, 1), rel=1e-12)
    assert scores(precision_recall_curve(REAL, REAL + 100, **FEW)) == (0, 0)


def test_a_collapsed_set_loses_recall_and_a_noisy_one_precision():
    real = around(np.arange(200) % 4, 0)
    collapsed = scores(precision_recall_curve(real, around(np.arange(200) % 2, 1)))
    noisy = scores(precision_recall_curve(real, real + np.repeat([[0], [200]], 100, axis=0)))
    assert collapsed[0] < 0.6 < 0.9 < collapsed[1]
    assert noisy[1] < 0.6 < 0.9 < noisy[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: precision_recall_curve(REAL, FAKE[:9]),
            "fake has too few samples: this metric needs at least 10, got 9. Give more, or lower num_clusters.",
        ),
        (lambda: precision_recall_curve(REAL, FAKE[:, :3]), "same dimension, got 8 and 3"),
        (lambda: precision_recall_curve(REAL, np.full((30, 8), np.nan)), "30 of 30 samples of fake are not finite"),
        (lambda: precision_recall_curve(REAL, FAKE, num_runs=0), "num_runs must be a positive integer, got 0"),
        (lambda: precision_recall_curve(REAL, FAKE, num_angles=2, **FEW), "num_angles must be .* at least 3, got 2"),
        (lambda: precision_recall_curve_of_histograms([1, 2], [1]), r"same shape .*, got \(2,\) and \(1,\)"),
        (lambda: precision_recall_curve_of_histograms([1, -1], [1, 0]), "real must have values that are not negative"),
        (lambda: precision_recall_curve_of_histograms([1, 1], [0, 0]), "fake must .* with a positive finite sum"),
        (lambda: largest_f_score(PrecisionRecallCurve(REAL, REAL), beta=0), "beta must be positive and finite, got 0"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
