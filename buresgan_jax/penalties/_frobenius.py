"""The Frobenius penalty, the baseline of BuresGAN."""

import functools

import jax

from buresgan_jax import declarations, distances
from buresgan_jax.distances import checks
from buresgan_jax.distances.public import Array, explained, in_float32
from buresgan_jax.penalties._features import MAX_SAMPLES, SCALE, check_rows, feature_rows


@explained
@in_float32
def frobenius_penalty(fake_features: Array, real_features: Array, *, scale: distances.Scale = "sum") -> jax.Array:
    """Computes the squared Frobenius distance between the feature covariances of a fake and a real batch.

    The features are centered and their rows are normalized.

    Args:
        fake_features: Features of the fake batch, `[n, dim]`, floating dtype. They get the gradient.
        real_features: Features of the real batch, `[m, dim]`, same dtype, treated as a constant.
        scale: `"sum"` (the authors' choice) or `"mean"`.

    Returns:
        Scalar, same dtype.

    Raises:
        ValueError: A batch is not `[n, dim]`, is empty, or the dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. The value is that of the authors' code, without its dim x dim matrices.
    """
    checks.check_batches(fake_features=fake_features, real_features=real_features)
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
    """Computes `frobenius_penalty` of the global batch's features, as a term of the generator."""
    return frobenius_penalty(*feature_rows(step, key, max_samples), scale=scale)
