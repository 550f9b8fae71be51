"""Scaled MMD-GAN: the discriminator's loss is divided by the size of its gradients."""

import functools

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.algorithms.gan import gan
from buresgan_jax.algorithms.protocol import Algorithm, Game, Term
from buresgan_jax.declarations import Option
from buresgan_jax.penalties import reject_batch_norm


@declarations.algorithm(
    "scaled",
    "as gan, with the discriminator's loss divided by the size of its gradients (scaled MMD)",
    Option("gradient_weight", 0.1, "weight of the squared gradients in the divisor", least=0),
    check=functools.partial(reject_batch_norm, name="scaled loss"),
)
def scaled(game: Game, *, gradient_weight: float = 0.1) -> Algorithm:
    """The ordinary step, whose discriminator minimizes `loss / (1 + gradient_weight * size)`.

    The size is the mean over real samples of the squared Frobenius norm of the Jacobian of all outputs, which is
    differentiated too. It is logged as `jacobian`. The discriminator must not mix the samples of a batch (no batch
    norm).

    Args:
        game: Networks, loss, terms, optimizers.
        gradient_weight: The weight.

    Note:
        Cost: one backward pass through the discriminator for each of its outputs, and their derivatives.

    References:
        Arbel et al., "On gradient regularizers for MMD GANs", NeurIPS 2018. https://arxiv.org/abs/1805.11565.
    """

    def rescaled(step, key):
        del key
        value = game.loss.discriminator(step.outputs.real_outputs, step.outputs.fake_outputs)
        value = value[0] if isinstance(value, tuple) else value
        own_size = _squared_jacobian(lambda x: step.discriminate(x)[0], step.local.real)
        size = jnp.mean(step.gather(own_size[None]))  # of all devices: the quotient is no mean over them
        # The loss itself is there already.
        return value * (1 / (1 + gradient_weight * size) - 1), {"jacobian": size}

    terms = (*game.discriminator_terms, Term("scale", 1.0, rescaled))
    return gan(game._replace(discriminator_terms=terms))


def _squared_jacobian(discriminate, x):
    """Mean over the samples of the squared Frobenius norm of the outputs' Jacobian."""
    outputs, pullback = jax.vjp(discriminate, x)

    def squared_gradient(output):
        (gradient,) = pullback(jnp.zeros_like(outputs).at[:, output].set(1))
        return jnp.sum(gradient**2)

    return jnp.sum(jax.lax.map(squared_gradient, jnp.arange(outputs.shape[1]))) / len(outputs)
