"""The term that ties the centers of the latent distribution to their examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from buresgan_jax import config
from buresgan_jax.algorithms.protocol import Step, StepOutputs
from buresgan_jax.errors import UserError
from buresgan_jax.penalties import pseudo_supervision_term

CENTERS = np.float32(np.random.default_rng(0).normal(size=(3, 4)))
EMBEDDED = np.int32([2, 5, 9])


def value_of(generate, index, real):
    outputs = StepOutputs(None, np.int32(index), np.float32(real), *7 * (None,))
    state = type("State", (), {"latent": {"centers": CENTERS, "index": EMBEDDED}})
    step = Step(outputs, outputs, state, generate, None, None, None, lambda rows: rows)
    return pseudo_supervision_term()(step, jax.random.key(0))


def test_embedded_examples_are_compared_with_what_becomes_of_their_own_centers():
    real = np.random.default_rng(1).normal(size=(4, 2))
    squared = np.sum((CENTERS[[2, 0], :2] - real[[0, 3]]) ** 2, axis=1)  # the examples 9 and 2
    found = value_of(lambda z: z[:, :2], [9, 3, 11, 2], real)
    assert found == pytest.approx(np.mean(squared) / np.sum(np.var(real, axis=0)), rel=1e-5)


def test_the_mean_has_the_error_1_and_a_batch_without_embedded_examples_0():
    real = np.random.default_rng(1).normal(size=(3, 2, 2, 1))
    constant = lambda z: np.broadcast_to(real.mean(axis=0), (len(z), 2, 2, 1)).astype(np.float32)  # noqa: E731
    assert value_of(constant, EMBEDDED, real) == pytest.approx(1, rel=1e-5)
    assert value_of(constant, [0, 1, 3], real) == 0
    assert value_of(lambda z: 0 * z[:, :2], EMBEDDED, np.zeros((3, 2))) == 0


@pytest.mark.usefixtures("x64")
def test_the_gradient_is_that_of_finite_differences():
    real = np.random.default_rng(1).normal(size=(4, 2))

    def value(weights):
        return value_of(lambda z: jnp.tanh(z @ weights), [9, 3, 11, 2], real)

    check_grads(value, (np.random.default_rng(2).normal(size=(4, 2)),), order=1, modes=["rev"], atol=1e-5, rtol=1e-5)


def test_it_needs_the_latent_distribution_that_knows_the_examples():
    with pytest.raises(UserError, match=r"METHOD\+embedding\+pseudo_supervision"):
        config.check(config.finish(config.default("gan+pseudo_supervision")))
    config.check(config.finish(config.default("gan+embedding+pseudo_supervision")))
