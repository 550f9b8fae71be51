"""Pairs of z and example that the latent distribution of BourGAN knows."""

import jax
import jax.numpy as jnp

from buresgan_jax import declarations


def _check(values):
    if values["latent.name"] != "embedding":
        raise ValueError(
            "The term pseudo_supervision needs latent.name=embedding, which knows the z of an example, got "
            f"{values['latent.name']!r}. Add it to the method: METHOD+embedding+pseudo_supervision."
        )


@declarations.term(
    "pseudo_supervision",
    "the generator maps the embedding of an example near it; for the latent distribution embedding",
    check=_check,
)
def pseudo_supervision_term(step, key):
    """Computes the mean squared distance between real examples and what the generator makes of their centers.

    Relative to the data: 1 for a generator that makes the batch's mean of every z. Of a batch, those examples count
    that the latent distribution has embedded; without any, the value is 0, as for endless data, whose examples never
    come again. The generator runs on all rows of the batch: embed all of the data where they are not too many.

    References:
        Luzi, Dar, Baraniuk, "Double Descent and Other Interpolation Phenomena in GANs", 2021.
        https://arxiv.org/abs/2106.04003, where z is noise, drawn once for each example.
    """
    del key
    embedded, centers = step.state.latent["index"], step.state.latent["centers"]
    position = jnp.minimum(jnp.searchsorted(embedded, step.local.index), len(embedded) - 1)
    counts = embedded[position] == step.local.index
    errors = jnp.sum((_flat(step.generate(centers[position])) - _flat(step.local.real)) ** 2, axis=1)
    errors, counts = step.gather((errors, counts))
    real = _flat(step.outputs.real)
    variance = jnp.mean(jnp.sum((real - jnp.mean(real, axis=0, keepdims=True)) ** 2, axis=1))
    scale = jnp.maximum(jnp.sum(counts), 1) * jnp.where(variance > 0, variance, 1)
    return jnp.sum(jnp.where(counts, errors, 0)) / jax.lax.stop_gradient(scale)


def _flat(x):
    return x.reshape(len(x), -1)
