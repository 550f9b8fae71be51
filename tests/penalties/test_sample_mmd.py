"""The discrepancy of the samples themselves."""

import jax
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.spatial import distance

from buresgan_jax.penalties import sample_mmd_penalty

RANDOM = np.random.default_rng


def by_loops(fake, real, num_scales):
    """The same by pairs, in NumPy."""
    lengths = distance.cdist(real, real)
    longest, total = np.sqrt(np.mean(lengths**2)), 0
    nearest = np.sqrt(np.median((lengths + np.diag(np.full(len(real), np.inf))).min(1) ** 2))
    for scale in np.geomspace(longest, nearest, num_scales):

        def kernel(a, b, scale=scale):
            return 1 / (1 + np.sum((a - b) ** 2) / (2 * scale**2))

        within = [np.mean([kernel(a, b) for i, a in enumerate(x) for b in x[:i]]) for x in (fake, real)]
        total += sum(within) - 2 * np.mean([kernel(a, b) for a in fake for b in real])
    return total


@pytest.mark.parametrize("num_scales", [1, 4])
def test_it_is_the_discrepancy_by_loops(num_scales):
    fake, real = RANDOM(0).normal(size=(9, 2)), RANDOM(1).normal(1, 2, size=(12, 2))
    found = sample_mmd_penalty(fake.astype(np.float32), real.astype(np.float32), num_scales=num_scales)
    assert found == pytest.approx(by_loops(fake, real, num_scales), rel=1e-4)


def test_it_does_not_depend_on_the_unit_of_the_data():
    fake, real = np.float32(RANDOM(0).normal(size=(2, 32, 2)))
    assert sample_mmd_penalty(128 * fake, 128 * real) == pytest.approx(float(sample_mmd_penalty(fake, real)), abs=1e-5)


def test_the_gradient_spreads_collapsed_modes_and_moves_mass_to_empty_ones():
    means = np.float32([[-1, 0], [1, 0]])
    real = means.repeat(64, axis=0) + np.float32(RANDOM(0).normal(scale=0.02, size=(128, 2)))
    narrow = means.repeat(64, axis=0) + np.float32(RANDOM(1).normal(scale=0.01, size=(128, 2)))
    outwards = -jax.grad(sample_mmd_penalty)(narrow, real)
    assert np.sum(outwards * (narrow - means.repeat(64, axis=0))) > 0
    one_mode = means[:1].repeat(128, axis=0) + np.float32(RANDOM(1).normal(scale=0.02, size=(128, 2)))
    assert np.mean(-jax.grad(sample_mmd_penalty)(one_mode, real)[:, 0]) > 0


@pytest.mark.usefixtures("x64")
def test_the_gradient_is_that_of_finite_differences_and_the_examples_get_none():
    fake, real = RANDOM(0).normal(size=(5, 2)), RANDOM(1).normal(size=(7, 2))
    check_grads(lambda fake: sample_mmd_penalty(fake, real), (fake,), order=1, modes=["rev"], atol=1e-5, rtol=1e-5)
    assert (jax.grad(sample_mmd_penalty, argnums=1)(fake, real) == 0).all()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_examples_give_finite_values_and_gradients(value):
    real = np.full((8, 2), value, np.float32)
    for fake in (real, np.float32(RANDOM(0).normal(size=(8, 2)))):
        assert np.isfinite(sample_mmd_penalty(fake, real))
        assert np.isfinite(jax.grad(sample_mmd_penalty)(fake, real)).all()


def test_it_needs_pairs():
    with pytest.raises(ValueError, match="at least 2 rows, got 1 and 8"):
        sample_mmd_penalty(np.zeros((1, 2), np.float32), np.zeros((8, 2), np.float32))
