"""The losses of the original GAN, on logits."""

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.losses._base import AdversarialLoss


def non_saturating_discriminator_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Computes the mean of the two cross entropies, `(mean softplus(-real) + mean softplus(fake)) / 2`, in nats."""
    return (jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))) / 2


def non_saturating_generator_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Computes the cross entropy of the fakes with the label "real", `mean softplus(-fake)`, in nats."""
    del real_logits
    return jnp.mean(jax.nn.softplus(-fake_logits))


@declarations.loss("non_saturating", "cross entropies on logits")
def non_saturating() -> AdversarialLoss:
    """Returns the non-saturating GAN loss, computed from logits by softplus, so it is finite for every finite logit.

    References:
        Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014. https://arxiv.org/abs/1406.2661. The
        discriminator's two terms are averaged, as in the BuresGAN authors' code, not summed.
    """
    return AdversarialLoss(non_saturating_discriminator_loss, non_saturating_generator_loss, lambda logits: logits)
