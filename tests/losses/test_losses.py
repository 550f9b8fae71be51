import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax import losses


def test_non_saturating_losses_equal_cross_entropies_by_hand():
    real, fake = np.array([[1.5], [-0.5]]), np.array([[0.25], [2.0]])
    loss = losses.non_saturating()
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    discriminator = -0.5 * (np.log(sigmoid(real)).mean() + np.log(1 - sigmoid(fake)).mean())
    np.testing.assert_allclose(loss.discriminator(real, fake), discriminator, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(real, fake), -np.log(sigmoid(fake)).mean(), rtol=1e-6)


def test_non_saturating_losses_are_finite_for_extreme_logits():
    real, fake = jnp.array([[-1e4], [1e4]]), jnp.array([[1e4], [-1e4]])
    loss = losses.non_saturating()
    for function in loss[:2]:
        value, gradients = jax.jit(jax.value_and_grad(function, argnums=(0, 1)))(real, fake)
        assert np.isfinite(value)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_hinge_losses_by_hand():
    loss = losses.hinge()
    real, fake = np.array([[1.5], [-0.5]]), np.array([[0.25], [-2.0]])
    np.testing.assert_allclose(loss.discriminator(real, fake), (0 + 1.5) / 2 + (1.25 + 0) / 2)
    np.testing.assert_allclose(loss.generator(real, fake), 1.75 / 2)


def test_wasserstein_losses_by_hand():
    loss = losses.wasserstein()
    real, fake = np.array([[1.5], [-0.5]]), np.array([[0.25], [-2.0]])
    np.testing.assert_allclose(loss.discriminator(real, fake), -1.75 / 2 - 0.5)
    np.testing.assert_allclose(loss.generator(real, fake), 1.75 / 2)
