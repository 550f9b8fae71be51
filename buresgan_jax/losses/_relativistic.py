"""The relativistic pairing loss."""

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.losses._base import AdversarialLoss


def pairing_discriminator_loss(real_outputs: jax.Array, fake_outputs: jax.Array) -> jax.Array:
    """Computes `mean softplus(fake - real)`, in nats, over pairs of rows.

    Args:
        real_outputs: The discriminator's outputs on real examples, `[batch, output_dim]`.
        fake_outputs: Its outputs on fakes, same shape. Each row is compared with the real row of the same number.

    Returns:
        Scalar. It is log 2 where the outputs are equal.

    Raises:
        ValueError: The shapes differ.
    """
    if real_outputs.shape != fake_outputs.shape:
        raise ValueError(
            "The pairing loss compares each fake with one real example: the outputs must have equal shapes, got "
            f"{real_outputs.shape} and {fake_outputs.shape}."
        )
    return jnp.mean(jax.nn.softplus(fake_outputs - real_outputs))


def pairing_generator_loss(real_outputs: jax.Array, fake_outputs: jax.Array) -> jax.Array:
    """Computes `mean softplus(real - fake)`, the discriminator's loss with real and fake exchanged."""
    return pairing_discriminator_loss(fake_outputs, real_outputs)


@declarations.loss("pairing", "each fake against one real example; with the terms r1 and r2, R3GAN's")
def pairing() -> AdversarialLoss:
    """Returns the relativistic pairing loss, which sees only the differences between outputs on fake and real examples.

    Rows are paired by their number. Both are drawn independently, so the pairs are random. R3GAN needs the terms `r1`
    and `r2` beside it: without them the game does not converge.

    References:
        Huang et al., "The GAN is dead; long live the GAN! A Modern GAN Baseline", NeurIPS 2024.
        https://arxiv.org/abs/2501.05441. Jolicoeur-Martineau, "The relativistic discriminator: a key element missing
        from standard GAN", ICLR 2019. https://arxiv.org/abs/1807.00734.
    """
    return AdversarialLoss(pairing_discriminator_loss, pairing_generator_loss)
