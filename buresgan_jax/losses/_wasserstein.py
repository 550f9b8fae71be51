"""The loss of Wasserstein GANs."""

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.losses._base import AdversarialLoss


def wasserstein_discriminator_loss(real_outputs: jax.Array, fake_outputs: jax.Array) -> jax.Array:
    """Computes `mean fake - mean real`, minus the estimated 1-Wasserstein distance if the outputs are 1-Lipschitz."""
    return jnp.mean(fake_outputs) - jnp.mean(real_outputs)


def wasserstein_generator_loss(real_outputs: jax.Array, fake_outputs: jax.Array) -> jax.Array:
    """Computes `-mean fake`."""
    del real_outputs
    return -jnp.mean(fake_outputs)


@declarations.loss("wasserstein", "difference of mean outputs; needs a Lipschitz discriminator")
def wasserstein() -> AdversarialLoss:
    """Returns the Wasserstein loss. It needs a Lipschitz discriminator, for example by `penalties.gradient_penalty`.

    References:
        Arjovsky et al., "Wasserstein GAN", ICML 2017. https://arxiv.org/abs/1701.07875. The sign is the usual one: the
        discriminator's outputs are large on real data.
    """
    return AdversarialLoss(wasserstein_discriminator_loss, wasserstein_generator_loss)
