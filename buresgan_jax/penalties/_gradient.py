"""The gradient penalty of WGAN-GP."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.distances.public import Array

_EPS = 1e-12  # under the root, whose derivative at 0 is infinite


def gradient_penalty(
    discriminate: Callable[[jax.Array], jax.Array], real: Array, fake: Array, positions: Array
) -> jax.Array:
    """Computes the mean squared deviation of the gradient's norm from 1, at points between real and fake samples.

    If the discriminator scores packs of m samples, each pack has one norm and one position.

    Args:
        discriminate: Function `samples [batch, ...] -> outputs [batch, output_dim]`, or `[batch / m, output_dim]` for a
            discriminator of packs of m neighbors. It must not mix other samples of the batch (no batch norm).
        real: Real samples, `[batch, ...]`.
        fake: Fake samples, same shape.
        positions: Positions within [0, 1], one for each row of the outputs: 0 is the fake, 1 the real sample. Shape
            `[batch]` or `[batch / m]`.

    Returns:
        Scalar. Cost: one forward and one backward pass; the gradient of the penalty differentiates both.

    References:
        Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017. https://arxiv.org/abs/1704.00028.
    """
    pack = len(real) // len(positions)
    share = jnp.repeat(positions, pack).reshape(-1, *(1,) * (real.ndim - 1))
    between = share * real + (1 - share) * fake
    gradient = jax.grad(lambda x: jnp.sum(discriminate(x)))(between).reshape(len(positions), -1)
    norms = jnp.sqrt(jnp.sum(gradient**2, axis=1) + _EPS)
    return jnp.mean((norms - 1) ** 2)


def reject_batch_norm(values: Mapping[str, Any], *, name: str = "gradient penalty") -> None:
    """Raises ValueError if a config's discriminator has batch norm."""
    if values["discriminator.name"] == "dcgan" and values["discriminator.use_batch_norm"]:
        raise ValueError(
            f"The {name} needs a gradient per sample, and batch norm mixes the samples of a batch. Set "
            "config.discriminator.use_batch_norm=False."
        )


@declarations.term(
    "gradient_penalty",
    "squared deviation of the gradient's norm from 1, between real and fake samples",
    player="discriminator",
    weight=10.0,
    check=reject_batch_norm,
)
def gradient_penalty_term(step, key):
    """Computes `gradient_penalty` at positions drawn for the global batch, as a term of the discriminator."""
    positions = jax.random.uniform(key, step.outputs.real_outputs.shape[:1], step.local.real.dtype)
    real, fake = step.local.real, step.local.fake
    return gradient_penalty(lambda x: step.discriminate(x)[0], real, fake, step.rows(positions))
