"""Zero-centered gradient penalties: R1 on real examples, R2 on fakes."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.distances.public import Array
from buresgan_jax.penalties._gradient import reject_batch_norm


def zero_centered_gradient_penalty(discriminate: Callable[[jax.Array], jax.Array], samples: Array) -> jax.Array:
    """Computes the mean squared norm of the discriminator's gradient at samples: R1 of real ones, R2 of fakes.

    The norm is over the whole sample. If the discriminator scores packs of samples, each pack has one norm.

    Args:
        discriminate: Function `samples [batch, ...] -> outputs [batch, output_dim]`, or `[batch / m, output_dim]` for a
            discriminator of packs of m neighbors; several outputs are added up. It must not mix other samples of the
            batch (no batch norm).
        samples: Samples, `[batch, ...]`.

    Returns:
        Scalar, at least 0. Cost: one forward and one backward pass; the gradient of the penalty differentiates both.

    References:
        Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML 2018.
        https://arxiv.org/abs/1801.04406. Their factor of 1/2 is left to the terms `r1` and `r2`.
    """
    outputs, pullback = jax.vjp(discriminate, jnp.asarray(samples))
    (gradient,) = pullback(jnp.ones_like(outputs))
    return jnp.sum(jnp.square(gradient)) / len(outputs)


def _half(step, samples, name):
    penalty = zero_centered_gradient_penalty(lambda x: step.discriminate(x)[0], samples)
    return penalty / 2, {name: penalty}  # the factor 1/2 is the objective's; papers report the mean squared norm


@declarations.term(
    "r1",
    "half of the mean squared norm of the gradient at real examples; the weight is gamma",
    player="discriminator",
    check=functools.partial(reject_batch_norm, name="term r1"),
)
def r1_term(step, key):
    """Computes half of `zero_centered_gradient_penalty` at the real examples; logs the whole of it."""
    del key
    return _half(step, step.local.real, "r1")


@declarations.term(
    "r2",
    "half of the mean squared norm of the gradient at fakes; the weight is gamma",
    player="discriminator",
    check=functools.partial(reject_batch_norm, name="term r2"),
)
def r2_term(step, key):
    """Computes half of `zero_centered_gradient_penalty` at the fakes; logs the whole of it."""
    del key
    return _half(step, step.local.fake, "r2")
