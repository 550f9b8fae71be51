"""The penalty of BuresGAN."""

import functools

import jax

from buresgan_jax import declarations, distances
from buresgan_jax.declarations import Option
from buresgan_jax.distances import checks
from buresgan_jax.distances.public import Array, explained, in_float32
from buresgan_jax.penalties._features import MAX_SAMPLES, SCALE, check_rows, feature_rows


@explained
@in_float32
def bures_penalty(
    fake_features: Array,
    real_features: Array,
    *,
    scale: distances.Scale = "sum",
    method: distances.Method = "eigh",
    rtol: float | None = None,
) -> jax.Array:
    """Computes the squared Bures distance between the feature covariances of a fake and a real batch.

    The features are centered and their rows are normalized. The value is not near zero for a perfect generator: two
    independent batches of n differ by a sampling floor that grows with the feature dim (64 of at most 512 for Gaussian
    features with n = 256, dim = 128). If all rows are equal, the value is n (scale "sum") and the gradient is zero.

    Args:
        fake_features: Features of the fake batch, `[n, dim]`, floating dtype. They get the gradient.
        real_features: Features of the real batch, `[m, dim]`, same dtype, treated as a constant.
        scale: `"sum"` (the authors' choice; at most 2n for n = m) or `"mean"` (at most 2).
        method: See `squared_bures_distance_from_features`.
        rtol: See `squared_bures_distance_from_features`.

    Returns:
        Scalar, same dtype.

    Raises:
        ValueError: A batch is not `[n, dim]`, is empty, or the dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. Differs from the authors' code: the roots come from `eigh` (up to its cutoff,
        see `rtol`), not from 15 Newton-Schulz steps, and the smaller of batch and feature space is always used, not
        chosen by a switch.
    """
    checks.check_batches(fake_features=fake_features, real_features=real_features)
    return distances.squared_bures_distance_from_features(
        fake_features,
        jax.lax.stop_gradient(real_features),
        center=True,
        normalize=True,
        scale=scale,
        method=method,
        rtol=rtol,
    )


@declarations.term(
    "bures",
    "squared Bures distance between the features' covariances",
    Option("method", "eigh", "see docs/bures.md: eigh is fast on a CPU, svd is exact", choices=distances.METHODS),
    Option("rtol", None, "cutoff of the gradient; None: chosen by dtype and method", float, least=0, below=1),
    SCALE,
    MAX_SAMPLES,
    check=functools.partial(check_rows, name="bures"),
)
def bures_term(step, key, *, method, rtol, scale, max_samples):
    """Computes `bures_penalty` of the global batch's features, as a term of the generator."""
    return bures_penalty(*feature_rows(step, key, max_samples), scale=scale, method=method, rtol=rtol)
