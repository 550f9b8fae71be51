"""The two regularizers of MaEM-GAN's discriminator: equal outputs on views (DLLE), affine between samples (DIsoMap)."""

from typing import Literal

import jax
import jax.numpy as jnp

from buresgan_jax import declarations, ops
from buresgan_jax.declarations import Option
from buresgan_jax.distances.public import Array

Mixing = Literal["gaussian", "convex"]
MIXINGS: tuple[Mixing, ...] = ("gaussian", "convex")


def dlle_penalty(outputs: Array, view_outputs: Array) -> jax.Array:
    """Computes the mean squared difference between the outputs on samples and on views of them.

    Args:
        outputs: The discriminator's outputs on samples, `[batch, output_dim]`. They get the gradient.
        view_outputs: Those on slightly changed samples, same shape, treated as constants.

    Returns:
        Scalar, at least 0: the mean over the batch and the outputs.

    References:
        Liu et al., "Combating Mode Collapse in GANs via Manifold Entropy Estimation", AAAI 2023, eq. 12 and 13.
        https://arxiv.org/abs/2208.12055. As in the authors' code, squared and in one direction; the paper has the norm.
    """
    return jnp.mean((outputs - jax.lax.stop_gradient(view_outputs)) ** 2)


def disomap_penalty(
    mixed_outputs: Array, real_outputs: Array, fake_outputs: Array, positions: Array, noise: Array | float = 0.0
) -> jax.Array:
    """Computes the mean squared difference between the outputs on mixed samples and the mixed outputs.

    It is 0 for an affine discriminator.

    Args:
        mixed_outputs: The discriminator's outputs on `p real + (1 - p) fake`, `[batch, output_dim]`. They get the
            gradient.
        real_outputs: Those on the real samples, same shape, treated as constants.
        fake_outputs: Those on the fakes, same shape, treated as constants.
        positions: The p of each row, `[batch]`; within [0, 1] for convex mixtures.
        noise: Added to the target, same shape as the outputs.

    Returns:
        Scalar, at least 0: the mean over the batch and the outputs.

    References:
        Liu et al., "Combating Mode Collapse in GANs via Manifold Entropy Estimation", AAAI 2023, eq. 14.
        https://arxiv.org/abs/2208.12055. As in the authors' code, squared differences; the paper has cosines.
    """
    share = positions[:, None]
    target = jax.lax.stop_gradient(share * real_outputs + (1 - share) * fake_outputs + noise)
    return jnp.mean((mixed_outputs - target) ** 2)


@declarations.term(
    "dlle",
    "squared difference of the outputs on samples and on views of them: noise, images mirrored too (MaEM-GAN)",
    Option("noise", 1e-3, "standard deviation of the views' noise", least=0),
    player="discriminator",
)
def dlle_term(step, key, *, noise):
    """Computes `dlle_penalty` of the real examples plus that of the fakes, as a term of the discriminator."""
    real_key, fake_key = jax.random.split(key)

    def penalty(samples, outputs, key):
        return dlle_penalty(outputs, step.discriminate(_view(step, samples, key, noise))[0])

    on_real = penalty(step.local.real, step.local.real_outputs, real_key)
    return on_real + penalty(step.local.fake, step.local.fake_outputs, fake_key)


def _view(step, samples, key, noise):
    """Samples with noise; images are mirrored along one axis, the same for the whole batch."""
    coin_key, noise_key = jax.random.split(key)
    samples = jax.lax.stop_gradient(samples)
    if samples.ndim == 4:
        samples = jnp.where(jax.random.bernoulli(coin_key), samples[:, ::-1], samples[:, :, ::-1])
    return samples + noise * step.rows(ops.normal(noise_key, step.outputs.real.shape))


@declarations.term(
    "disomap",
    "squared difference of the outputs on mixtures of real and fake from the mixed outputs (MaEM-GAN)",
    Option("mixing", "gaussian", "law of the share of the real sample: normal, or uniform on [0, 1]", choices=MIXINGS),
    Option("target_noise", 0.05, "standard deviation of noise on the mixed outputs", least=0),
    player="discriminator",
)
def disomap_term(step, key, *, mixing, target_noise):
    """Computes `disomap_penalty` of pairs of a real and a fake sample, as a term of the discriminator."""
    share_key, noise_key = jax.random.split(key)
    shape = step.outputs.real_outputs.shape
    draw = ops.normal if mixing == "gaussian" else jax.random.uniform
    positions = step.rows(draw(share_key, shape[:1]))
    real, fake = step.local.real, jax.lax.stop_gradient(step.local.fake)
    share = jnp.repeat(positions, len(real) // len(positions)).reshape(-1, *(1,) * (real.ndim - 1))  # one for a pack
    mixed_outputs = step.discriminate(share * real + (1 - share) * fake)[0]
    noise = target_noise * step.rows(ops.normal(noise_key, shape))
    return disomap_penalty(mixed_outputs, step.local.real_outputs, step.local.fake_outputs, positions, noise)
