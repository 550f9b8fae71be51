"""The distance-preserving term of BourGAN, for every method and latent distribution."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.distances import EMBEDDING_METRICS
from buresgan_jax.distances.linalg import safe_sqrt, unit_rows

PAIRS = ("two_batches", "all")
_SMALLEST = 1e-6  # distance that counts, relative to the wanted one


def log_distance_penalty(distances: jax.Array, wanted: jax.Array, *, scale: jax.Array | None = None) -> jax.Array:
    """Computes the mean squared difference of the logarithms of distances and wanted distances.

    Args:
        distances: Squared distances, any shape.
        wanted: Squared wanted distances, same shape. Pairs with 0 do not count.
        scale: Factor on the wanted distances (not on their squares). Default: the scale that minimizes the penalty,
            which is then the variance of the log ratios.

    Returns:
        Scalar. Value and gradient are finite for distances of 0: below 1e-6 of the wanted ones their gradient fades.

    References:
        Xiao et al., "BourGAN: Generative Networks with Metric Embeddings", NeurIPS 2018.
        https://arxiv.org/abs/1805.07674. There, distances of 0 give NaN.
    """
    is_counted = wanted > 0
    ratios = jnp.where(is_counted, distances, 1) / jnp.where(is_counted, wanted, 1)
    squared_scale = 1.0 if scale is None else scale**2
    logs = jnp.log(ratios / squared_scale + _SMALLEST**2) / 2
    count = jnp.maximum(jnp.sum(is_counted), 1)
    shift = jnp.sum(jnp.where(is_counted, logs, 0)) / count if scale is None else 0.0
    return jnp.sum(jnp.where(is_counted, (logs - shift) ** 2, 0)) / count


def _check(values):
    if values["latent.name"] == "embedding" and values["latent_distance.scale"] is None:
        own, of_latent = values["latent_distance.metric"], values["latent.metric"]
        if own != of_latent:
            raise ValueError(
                f"The embedding's scale is that of distances by {of_latent!r}, the term compares {own!r}. Set both to "
                "the same metric, or config.latent_distance.scale to a number."
            )


@declarations.term(
    "latent_distance",
    "distances between samples follow those between their z, in logarithms (BourGAN)",
    Option("metric", "euclidean", "distance between samples", choices=EMBEDDING_METRICS),
    Option("pairs", "two_batches", "each sample with one of a second batch, or all of a batch", choices=PAIRS),
    Option("scale", None, "data distance of a unit of z; None: the embedding's or the batch's best", float, 1e-12),
    weight=0.1,
    check=_check,
)
def latent_distance_term(step, key, *, metric, pairs, scale):
    """Computes `log_distance_penalty` of samples against that of z, as a term of the generator.

    Logs `log_distance_error` too: how far the laws of the logarithms are from each other, whatever pair has which
    distance (1-Wasserstein). It is at most the root of the penalty.
    """
    if scale is None and isinstance(step.state.latent, Mapping):
        scale = step.state.latent.get("distance_scale")
    if pairs == "all":
        fake, z = step.outputs.fake, step.outputs.z
        first, second = jnp.triu_indices(len(z), 1)
        others = (fake[second], z[second])
        fake, z = fake[first], z[first]
    else:
        fake, z, other_z = step.local.fake, step.local.z, step.sample_latent(key)
        others = (step.generate(other_z), other_z)
    between_samples = _squared_distances(fake, others[0], metric)
    between_z = jax.lax.stop_gradient(_squared_distances(z, others[1], "euclidean"))
    if pairs != "all":
        between_samples, between_z = step.gather((between_samples, between_z))  # one scale for all devices
    value = log_distance_penalty(between_samples, between_z, scale=scale)
    return value, {"log_distance_error": _distance_of_laws(between_samples, between_z, scale)}


def _distance_of_laws(distances, wanted, scale):
    """The 1-Wasserstein distance of the logarithms; pairs without a wanted distance count as right."""
    is_counted = wanted > 0
    distances, wanted = jax.lax.stop_gradient((distances, jnp.where(is_counted, wanted, 1)))
    logs = jnp.log(jnp.where(is_counted, distances / wanted, 1) + _SMALLEST**2) / 2
    wanted_logs = jnp.log(wanted) / 2
    count = jnp.maximum(jnp.sum(is_counted), 1)
    shift = jnp.sum(jnp.where(is_counted, logs, 0)) / count if scale is None else jnp.log(scale)
    logs = jnp.where(is_counted, logs - shift, 0)
    return jnp.sum(jnp.abs(jnp.sort(logs + wanted_logs) - jnp.sort(wanted_logs))) / count


def _squared_distances(x, y, metric):
    """Squared distances between rows of the same number, by a metric of the embedding."""
    x, y = (each.reshape(len(each), -1) for each in (x, y))
    if metric == "l1":
        return jnp.sum(jnp.abs(x - y), axis=1) ** 2
    if metric == "angle":  # by both chords: an arccosine loses small angles and has no derivative at large ones
        x, y = unit_rows(x), unit_rows(y)
        to, across = (safe_sqrt(jnp.sum(chord**2, axis=1)) for chord in (x - y, x + y))
        return 4 * jnp.arctan2(to, jnp.where((to == 0) & (across == 0), 1, across)) ** 2
    return jnp.sum((x - y) ** 2, axis=1)
