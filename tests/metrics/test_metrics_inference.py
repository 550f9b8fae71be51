"""Inference via optimization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax.metrics import inference_via_optimization

MATRIX = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
TARGETS = np.random.default_rng(1).normal(size=(4, 2, 4)).astype(np.float32)
KEY = jax.random.key(0)


def _waves(z):
    return jnp.sin(1.5 * jnp.matmul(z, MATRIX)).reshape(-1, 2, 4)


def _find(targets, num_restarts, **options):
    options = {"latent_dim": 3, "num_iterations": 40} | options
    return inference_via_optimization(_waves, targets, KEY, num_restarts=num_restarts, **options)


def test_images_of_the_generator_itself_are_found():
    targets = _waves(jax.random.normal(jax.random.key(1), (4, 3)))
    once, often = _find(targets, 1), _find(targets, 20)
    assert (often.errors <= once.errors).all()
    assert (once.errors > 1e-3).any()
    assert often.mean < 1e-8
    np.testing.assert_allclose(_waves(often.z), targets, atol=1e-3)
    assert type(often.mean) is float


def test_other_images_end_in_a_minimum():
    found = _find(TARGETS, 3)
    error = lambda z: np.square(np.asarray(_waves(z), np.float64) - TARGETS).mean((1, 2))  # noqa: E731
    np.testing.assert_allclose(found.errors, error(found.z), rtol=1e-5)
    assert found.mean == pytest.approx(found.errors.mean())
    for axis in np.eye(3):
        for step in (-0.03, 0.03):
            assert (error(found.z + np.float32(step * axis)) > found.errors).all()


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (TARGETS[:0], {}, "targets has too few samples"),
        (TARGETS * np.nan, {}, "4 of 4 samples of targets are not finite"),
        (TARGETS[:, :1], {}, r"the generator's images, \(4, 2, 4\), got \(4, 1, 4\)"),
        (TARGETS, {"num_restarts": 0}, "num_restarts must be a positive integer, got 0"),
    ],
)
def test_bad_input_is_one_clear_line(targets, options, message):
    with pytest.raises(ValueError, match=message):
        _find(targets, **{"num_restarts": 1} | options)
