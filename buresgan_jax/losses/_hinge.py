"""The hinge loss."""

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.losses._base import AdversarialLoss


def hinge_discriminator_loss(real_outputs: jax.Array, fake_outputs: jax.Array) -> jax.Array:
    """Computes `mean max(0, 1 - real) + mean max(0, 1 + fake)`, the amounts by which outputs miss the margin."""
    return jnp.mean(jax.nn.relu(1 - real_outputs)) + jnp.mean(jax.nn.relu(1 + fake_outputs))


def hinge_generator_loss(real_outputs: jax.Array, fake_outputs: jax.Array) -> jax.Array:
    """Computes `-mean fake`, which has no bound."""
    del real_outputs
    return -jnp.mean(fake_outputs)


@declarations.loss("hinge", "margins: correct outputs beyond 1 give no gradient")
def hinge() -> AdversarialLoss:
    """Returns the hinge loss: correct outputs beyond the margin of 1 give the discriminator no gradient.

    References:
        Lim & Ye, "Geometric GAN", 2017. https://arxiv.org/abs/1705.02894. Miyato et al., "Spectral Normalization for
        Generative Adversarial Networks", ICLR 2018. https://arxiv.org/abs/1802.05957 (equations 16 and 17). This is the
        loss alone, without a support vector machine or spectral normalization.
    """
    return AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss)
