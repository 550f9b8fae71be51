"""The Frobenius penalty that BuresGAN is compared with."""

import functools

import jax

from buresgan_jax import declarations, distances
from buresgan_jax.penalties._features import MAX_SAMPLES, SCALE, check_rows, feature_rows


def frobenius_penalty(
    fake_features: jax.Array, real_features: jax.Array, *, scale: distances.Scale = "sum"
) -> jax.Array:
    """Squared Frobenius distance between centered, row-normalized feature covariances of a fake and a real batch.

    Args:
        fake_features: `[n, dim]`, floating dtype, gets the gradient.
        real_features: `[m, dim]`, same dtype, treated as a constant.
        scale: `"sum"` (the authors') or `"mean"`.

    Returns:
        Scalar, same dtype.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. Same value as the authors' code without its dim x dim matrices.
    """
    return distances.squared_frobenius_distance_from_features(
        fake_features, jax.lax.stop_gradient(real_features), center=True, normalize=True, scale=scale
    )


@declarations.term(
    "frobenius",
    "squared Frobenius distance between the features' covariances",
    SCALE,
    MAX_SAMPLES,
    check=functools.partial(check_rows, name="frobenius"),
)
def frobenius_term(step, key, *, scale, max_samples):
    """`frobenius_penalty` of the global batch's features, as a term of the generator."""
    return frobenius_penalty(*feature_rows(step, key, max_samples), scale=scale)
