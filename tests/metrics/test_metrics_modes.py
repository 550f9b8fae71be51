"""Modes and high-quality samples of mixtures in the plane."""

import numpy as np
import pytest

from buresgan_jax.metrics import mode_statistics

_MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def _ring(num_samples, std, seed=0):
    angles = 2 * np.pi * np.arange(8) / 8
    means = 2.5 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    random = np.random.default_rng(seed)
    return means[random.integers(8, size=num_samples)] + std * random.normal(size=(num_samples, 2)), means


def test_perfect_samples_reach_the_known_ceiling():
    samples, means = _ring(200_000, 0.01)
    statistics = mode_statistics(samples, means, 0.01)
    assert statistics.modes == 8
    assert statistics.high_quality_share == pytest.approx(1 - np.exp(-4.5), abs=1e-3)
    assert statistics.high_quality_share == pytest.approx(0.9889, abs=1e-3)
    assert statistics.reverse_kl == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("scale", [1, 0.5, 0.05])
@pytest.mark.parametrize("num_stds", [1, 3])
def test_spread_is_the_scale_of_the_samples_inside_their_modes(scale, num_stds):
    """Samples near a mode, of any offset from its center, and some elsewhere, which do not count."""
    (samples, means), (offset, _) = _ring(50_000, 0.01), _ring(1, 0, 1)
    near = samples - means[np.square(samples[:, None] - means).sum(-1).argmin(1)]
    near = near[np.hypot(*near.T) <= num_stds * 0.01]
    samples = np.repeat(means, 200, axis=0) + scale * near[:1600] + (1 - scale) * 0.005 * offset / np.hypot(*offset.T)
    samples = np.concatenate([samples, np.random.default_rng(0).uniform(-1, 1, (500, 2))])
    spread = mode_statistics(samples, means, 0.01, num_stds=num_stds).mode_spread
    assert spread == pytest.approx(scale, rel=0.05)


def test_directions_tell_lines_from_round_modes():
    random, means = np.random.default_rng(0), _ring(1, 0)[1]
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    lines = np.repeat(means, 4000, axis=0) + 0.01 * (random.normal(size=(32_000, 2)) * [0.1, 1]) @ turn
    found = mode_statistics(lines, means, 0.01, num_stds=10)
    np.testing.assert_allclose(found.directions, [[0.1, 1]] * 8, rtol=0.05)
    assert found.mode_spread == pytest.approx(np.sqrt(1.01 / 2), rel=0.01)
    few = mode_statistics([means[0], means[1], means[1] + 0.01], means, 0.01)
    assert few.directions[0] == few.directions[2] == (0, 0)
    assert few.directions[1][1] > few.directions[1][0] == pytest.approx(0, abs=1e-12)


def test_spread_of_perfect_samples_has_the_documented_error():
    random, means = np.random.default_rng(0), _ring(1, 0)[1]
    draws = means[random.integers(8, size=(200, 2500))] + 0.01 * random.normal(size=(200, 2500, 2))
    spreads = [mode_statistics(samples, means, 0.01).mode_spread for samples in draws]
    assert np.mean(spreads) == pytest.approx(1, abs=0.002)
    assert 0.006 < np.std(spreads) < 0.01


def test_eight_points_look_perfect_but_for_their_spread():
    means = _ring(1, 0)[1]
    found = mode_statistics(np.repeat(means + 0.01, 300, axis=0), means, 0.01)
    assert (found.modes, found.high_quality_share, found.reverse_kl) == (8, 1, pytest.approx(0, abs=1e-12))
    assert found.mode_spread == pytest.approx(0, abs=1e-12)
    for few in (means[:3], means[:3] + 1):  # one sample in a mode, and none
        assert mode_statistics(few, means, 0.01).mode_spread == 0


def test_counts_equal_a_loop():
    samples, means = _ring(500, 0.3)
    counts = [0] * 8
    for sample in samples:
        distances = [np.hypot(*(sample - mean)) for mean in means]
        if min(distances) <= 2 * 0.3:
            counts[int(np.argmin(distances))] += 1
    statistics = mode_statistics(samples, means, 0.3, num_stds=2, min_hits=60)
    assert statistics.counts == tuple(counts)
    assert statistics.modes == sum(count >= 60 for count in counts)
    assert statistics.high_quality_share == sum(counts) / 500


def test_the_border_belongs_to_the_mode():
    samples = [[0.5, 0.0], [2.0, 0.5001], [0.0, 2.0]]
    statistics = mode_statistics(samples, _MEANS, 0.25, num_stds=2)
    assert statistics.counts == (1, 0, 1)
    assert statistics.modes == 2


def test_collapse_to_one_mode_has_the_kl_of_a_point_mass():
    statistics = mode_statistics(np.zeros((10, 2)), _MEANS, 0.1)
    assert statistics.modes == 1
    assert statistics.high_quality_share == 1.0
    assert statistics.reverse_kl == pytest.approx(np.log(3))


def test_reverse_kl_is_against_the_weights():
    samples = np.repeat(_MEANS, [1, 1, 2], axis=0)
    assert mode_statistics(samples, _MEANS, 0.1, weights=[5, 5, 10]).reverse_kl == pytest.approx(0, abs=1e-12)
    expected = 0.25 * np.log(0.25 / 0.5) + 0.25 * np.log(0.25 / 0.25) + 0.5 * np.log(0.5 / 0.25)
    assert mode_statistics(samples, _MEANS, 0.1, weights=[2, 1, 1]).reverse_kl == pytest.approx(expected)


def test_a_mode_of_weight_zero_gives_a_large_finite_kl():
    value = mode_statistics(np.zeros((4, 2)), _MEANS, 0.1, weights=[0, 1, 1]).reverse_kl
    assert value == pytest.approx(np.log(1e7), rel=1e-3)


def test_means_must_be_finite():
    with pytest.raises(ValueError, match="means must be finite"):
        mode_statistics(np.zeros((1, 2)), [[np.nan, 0], [0, 0]], 1.0)


def test_results_are_plain_python_numbers():
    statistics = mode_statistics(np.zeros((4, 2), np.float32), _MEANS, 0.1)
    assert [type(value) for value in statistics] == [int, float, float, float, tuple, tuple]
    assert all(type(count) is int for count in statistics.counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 3)), _MEANS, 0.1), r"got \(4, 3\) and \(3, 2\)"),
        ((np.zeros(4), _MEANS, 0.1), r"got \(4,\)"),
        ((np.zeros((0, 2)), _MEANS, 0.1), "got 0 and 3"),
        ((np.full((4, 2), np.nan), _MEANS, 0.1), "4 of 4 samples are not finite"),
        ((np.zeros((4, 2)), _MEANS, 0.0), "std must be positive, got 0.0"),
    ],
)
def test_errors_say_what_was_got(arguments, message):
    with pytest.raises(ValueError, match=message):
        mode_statistics(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1, 1]}, r"expected shape \(3,\), got \(2,\)"),
        ({"weights": [1, 1, -1]}, "must not be negative"),
        ({"weights": [0, 0, 0]}, "at least one positive"),
        ({"num_stds": -1}, "num_stds must be positive, got -1"),
        ({"min_hits": 0}, "min_hits must be positive, got 0"),
    ],
)
def test_option_errors_say_what_was_got(options, message):
    with pytest.raises(ValueError, match=message):
        mode_statistics(np.zeros((4, 2)), _MEANS, 0.1, **options)
