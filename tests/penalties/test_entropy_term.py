"""The entropy penalty: its three forms by hand, and what each asks for."""

import functools

import jax
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial import distance

from buresgan_jax.penalties import entropy_penalty


def codes(seed, n=6, dim=4, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(n, dim))


BY_HAND = {
    "mean_log": lambda x, y, k: -np.mean(np.log(np.sort(distance.cdist(x, y))[:, k - 1])),
    "log_mean": lambda x, y, k: -np.log(np.mean(np.sort(distance.cdist(x, y))[:, k - 1] ** 2) / x.shape[1]),
    "cosine": lambda x, y, k: (
        np.mean(1 - np.sort(distance.cdist(x, y, "cosine"))[:, k - 1]) + 0.3 * np.linalg.norm(x, axis=1).mean()
    ),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("neighbor", [1, 3])
@pytest.mark.parametrize("mode", BY_HAND)
def test_values_by_hand_and_derivatives(mode, neighbor):
    x, y = codes(0), codes(1, 9)
    penalty = functools.partial(entropy_penalty, mode=mode, neighbor=neighbor, norm_weight=0.3)
    np.testing.assert_allclose(penalty(x, y, 9), BY_HAND[mode](x, y, neighbor), rtol=1e-9)
    np.testing.assert_allclose(penalty(x, y, 5), BY_HAND[mode](x, y[:5], neighbor), rtol=1e-9)
    check_grads(lambda x: penalty(x, y, 7), (x,), order=2, atol=1e-4, rtol=1e-4)
    np.testing.assert_array_equal(jax.grad(lambda y: penalty(x, y, 7))(y), 0)


@pytest.mark.parametrize("mode", BY_HAND)
def test_an_empty_buffer_and_equal_codes_are_no_trouble(mode):
    x, penalty = np.float32(codes(0)), functools.partial(entropy_penalty, mode=mode, neighbor=2)
    with jax.debug_nans(True):
        for count in (0, 1):
            value, gradient = jax.jit(jax.value_and_grad(penalty))(x, np.zeros_like(x), count)
            assert value == 0
            np.testing.assert_array_equal(gradient, 0)
        for same in (np.zeros_like(x), np.ones_like(x)):
            value, gradient = jax.jit(jax.value_and_grad(penalty))(same, same, 6)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()


@pytest.mark.usefixtures("x64")
def test_the_mean_of_logarithms_pulls_near_duplicates_apart_and_the_logarithm_of_the_mean_does_not():
    x, others = np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[0.01, 0.0], [12.0, 0.0]])
    forces = {mode: np.linalg.norm(jax.grad(entropy_penalty)(x, others, 2, mode=mode), axis=1) for mode in BY_HAND}
    np.testing.assert_allclose(forces["mean_log"], [1 / 0.01 / 2, 1 / 2 / 2], rtol=1e-6)
    assert forces["log_mean"][0] < 0.01 * forces["log_mean"][1]


@pytest.mark.parametrize("mode", ["mean_log", "cosine"])
def test_descent_spreads_codes(mode):
    x = np.float32(codes(0, 64, 2, 0.1)) + np.float32([[2, 0]])
    penalty = functools.partial(entropy_penalty, mode=mode, neighbor=2)  # the nearest code of itself is itself
    start = penalty(x, x, 64)
    for _ in range(20):
        x = x - 0.1 * jax.grad(penalty)(x, x, 64)
    assert penalty(x, x, 64) < start


def test_wrong_options_are_explained():
    x = np.float32(codes(0))
    with pytest.raises(ValueError, match="mode must be one of 'mean_log', 'log_mean', 'cosine', got 'mean'"):
        entropy_penalty(x, x, 6, mode="mean")
    with pytest.raises(ValueError, match="neighbor must be from 1 to the number of candidates, 6; got 7"):
        entropy_penalty(x, x, 6, neighbor=7)
    with pytest.raises(TypeError, match="entropy_penalty takes only arrays by position"):
        entropy_penalty(x, x, 6, "cosine")
