"""The pairing loss: its values at the start, what it sees, and what its order of rows decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same

from buresgan_jax import losses


def outputs(n=6):
    random = np.random.default_rng(0)
    return random.normal(size=(n, 1)), random.normal(size=(n, 1))


def test_by_hand_and_the_generators_is_the_discriminators_with_both_exchanged():
    real, fake = outputs()
    loss = losses.pairing()
    expected = np.mean(np.log1p(np.exp(fake - real)))
    np.testing.assert_allclose(loss.discriminator(real, fake), expected, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(fake, real), expected, rtol=1e-6)


def test_at_equal_outputs_both_are_log_2_with_slopes_of_a_half():
    real = jnp.asarray(outputs()[0])
    for function, slope in zip(losses.pairing()[:2], (0.5, -0.5), strict=True):
        value, gradients = jax.value_and_grad(function, argnums=(0, 1))(real, real)
        np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
        np.testing.assert_allclose(len(real) * gradients[0], np.full((6, 1), -slope), rtol=1e-6)
        np.testing.assert_allclose(len(real) * gradients[1], np.full((6, 1), slope), rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_a_constant_added_to_all_outputs_changes_neither_values_nor_gradients():
    real, fake = outputs()
    for function in losses.pairing()[:2]:
        differentiate = jax.value_and_grad(function, argnums=(0, 1))
        assert_same(differentiate(real + 7, fake + 7), differentiate(real, fake), rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_a_discriminators_last_bias_has_no_gradient():
    real, fake = outputs()
    for function in losses.pairing()[:2]:
        gradient = jax.grad(lambda bias: function(real + bias, fake + bias))(0.3)  # noqa: B023
        np.testing.assert_allclose(gradient, 0, atol=1e-16)


def test_it_depends_on_the_pairs():
    real, fake = outputs()
    for function in losses.pairing()[:2]:
        assert abs(function(real, fake[::-1]) - function(real, fake)) > 1e-3
        np.testing.assert_allclose(function(real[::-1], fake[::-1]), function(real, fake), rtol=1e-6)


def test_it_is_finite_for_extreme_outputs():
    real, fake = jnp.array([[-1e4], [1e4]]), jnp.array([[1e4], [-1e4]])
    for function in losses.pairing()[:2]:
        value, gradients = jax.value_and_grad(function, argnums=(0, 1))(real, fake)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_outputs_without_a_partner_are_refused():
    real, fake = outputs()
    with pytest.raises(ValueError, match=r"equal shapes, got \(6, 1\) and \(1, 1\)"):
        losses.pairing().discriminator(real, fake[:1])
