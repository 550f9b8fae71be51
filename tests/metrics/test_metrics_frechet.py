"""Streaming moments, and the Frechet distance from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import metrics as golden_metrics

from buresgan_jax.metrics import (
    GaussianStatistics,
    Moments,
    frechet_distance,
    frechet_distance_from_statistics,
    gaussian_statistics,
)


def _features(n, dim=5, seed=0, shift=0.0):
    return shift + np.random.default_rng(seed).normal(size=(n, dim)) @ np.diag(np.arange(1, dim + 1))


def _exact(real, fake):
    """By the nuclear norm of the cross matrix of the centered features, with no covariance at all."""
    means = real.mean(0), fake.mean(0)
    x, y = ((part - mean) / np.sqrt(len(part) - 1) for part, mean in zip((real, fake), means, strict=True))
    nuclear_norm = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return np.square(means[0] - means[1]).sum() + np.square(x).sum() + np.square(y).sum() - 2 * nuclear_norm


@pytest.mark.parametrize("sizes", [[100], [1, 99], [1] * 100, [64, 30, 6]])
def test_streaming_equals_at_once(sizes):
    features = _features(100, shift=3)
    statistics = gaussian_statistics(np.split(features, np.cumsum(sizes)[:-1]))
    assert statistics.num_samples == 100
    np.testing.assert_allclose(statistics.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.cov, np.cov(features, rowvar=False), rtol=1e-12, atol=1e-12)


def test_merged_parts_equal_the_whole():
    features = _features(60)
    features[40:] += 10
    parts = [Moments() for _ in range(3)]
    parts[0].add(features[:10])
    parts[0].add(features[10:30])
    parts[2].add(features[30:])
    whole = Moments()
    for part in parts:  # the second one is empty
        whole.merge(part)
    expected = gaussian_statistics([features])
    for value, reference in zip(whole.statistics(), expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(parts[2].statistics().mean, gaussian_statistics([features[30:]]).mean)


def test_shards_of_four_devices_equal_one_batch():
    inputs = _features(40)
    whole = Moments()
    for shard in jax.pmap(jnp.tanh)(inputs.reshape(4, 10, 5)).addressable_shards:
        part = Moments()
        part.add(shard.data[0])
        whole.merge(part)
    expected = gaussian_statistics([np.tanh(inputs)])
    assert whole.num_samples == 40
    np.testing.assert_allclose(whole.statistics().cov, expected.cov, atol=1e-6)


def test_nothing_cancels_far_from_zero_and_when_the_first_batch_lies_elsewhere():
    features = _features(1000)
    far = features + 1e6
    cov = gaussian_statistics(np.split(far, 10)).cov
    np.testing.assert_allclose(cov, np.cov(features, rowvar=False), atol=1e-8)
    far[:100] -= 1e6
    np.testing.assert_allclose(gaussian_statistics(np.split(far, 10)).cov, np.cov(far, rowvar=False), rtol=1e-9)


def test_float32_features_are_accumulated_in_float64():
    features = _features(1000, shift=100).astype(np.float32)
    cov = gaussian_statistics(np.split(features, 10)).cov
    np.testing.assert_allclose(cov, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", golden_metrics.FEATURE_CASES)
@pytest.mark.parametrize("peer", ["pytorch-fid", "torch-fidelity", "clean-fid"])
def test_agrees_with_the_packages_that_report_fid(case, peer):
    value = frechet_distance(*golden_metrics.features(case))
    assert value == pytest.approx(golden_metrics.load()["frechet"][case][peer], rel=1e-6)


@pytest.mark.parametrize("case", golden_metrics.FEATURE_CASES)
def test_singular_covariances_keep_all_digits(case):
    real, fake = golden_metrics.features(case)
    assert frechet_distance(real, fake) == pytest.approx(_exact(real, fake), rel=1e-11)


@pytest.mark.parametrize("case", golden_metrics.FEATURE_CASES)
def test_zero_for_equal_sets_and_their_shuffles(case):
    real, _ = golden_metrics.features(case)
    total = np.square(real - real.mean(0)).sum() / len(real)
    for other in (real, real[::-1]):
        assert 0 <= frechet_distance(real, other) <= 1e-12 * total


def test_gaussians_with_a_closed_form():
    first = GaussianStatistics(10, np.array([1.0, 2.0]), np.diag([4.0, 0.0]))
    second = GaussianStatistics(10, np.array([0.0, 0.0]), np.diag([1.0, 9.0]))
    assert frechet_distance_from_statistics(first, second) == pytest.approx(1 + 4 + 1 + 9)
    nothing = GaussianStatistics(10, np.zeros(2), np.zeros((2, 2)))
    assert frechet_distance_from_statistics(nothing, second) == pytest.approx(10)
    assert frechet_distance_from_statistics(nothing, nothing) == 0


@pytest.mark.parametrize("case", golden_metrics.FEATURE_CASES)
def test_statistics_stored_in_float32_lose_digits_only(case):
    pair = golden_metrics.cases()["frechet"][case]
    single = [GaussianStatistics(each.num_samples, *(array.astype(np.float32) for array in each[1:])) for each in pair]
    value = frechet_distance_from_statistics(*single)
    # The roots of rounding errors of 1e-7 of the largest eigenvalue.
    assert value == pytest.approx(frechet_distance_from_statistics(*pair), rel=0.01)
    assert frechet_distance_from_statistics(single[0], single[0]) <= 1e-6 * np.trace(pair[0].cov)


def test_collapsed_fakes_are_far_and_the_value_is_a_plain_float():
    real = _features(50)
    collapsed = np.tile(real[:1], (50, 1))
    value = frechet_distance(real, collapsed)
    assert type(value) is float
    assert value == pytest.approx(np.trace(np.cov(real, rowvar=False)) + np.square(real[0] - real.mean(0)).sum())


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), "real has too few samples: this metric needs at least 2, got 1"),
        (np.zeros((5, 4)), np.zeros((0, 4)), "fake has too few samples"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "same dimension, got 4 and 3"),
        (np.zeros((5, 4)), np.full((5, 4), np.nan), "5 of 5 samples of fake are not finite"),
        (
            np.zeros((5, 4, 1)),
            np.zeros((5, 4)),
            r"real must be real numbers.*got shape \(5, 4, 1\)",
        ),
        (np.zeros((5, 4)), np.zeros((5, 4), complex), "fake must be real numbers"),
    ],
)
def test_bad_input_is_one_clear_line(real, fake, message):
    with pytest.raises(ValueError, match=message) as error:
        frechet_distance(real, fake)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mean", "cov", "message"),
    [
        (np.zeros(2), np.eye(3), r"got shapes \(2,\) and \(3, 3\)"),
        (np.zeros(2), np.full((2, 2), np.inf), "not finite"),
        (np.zeros(2), np.diag([2.0, -1.0]), "fake is not positive semidefinite: its eigenvalues range from -1 to 2"),
    ],
)
def test_bad_statistics_are_refused(mean, cov, message):
    good = GaussianStatistics(5, np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match=message):
        frechet_distance_from_statistics(good, GaussianStatistics(5, mean, cov))


def test_batches_of_another_dimension_are_refused():
    moments = Moments()
    moments.add(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="dimension of earlier batches, 3, got 4"):
        moments.add(np.zeros((2, 4)))


def test_bfloat16_features_are_real_numbers():
    real, fake = (jnp.asarray(np.random.default_rng(seed).normal(size=(20, 3)), jnp.bfloat16) for seed in range(2))
    assert frechet_distance(real, fake) == frechet_distance(np.asarray(real, np.float64), np.asarray(fake, np.float64))
