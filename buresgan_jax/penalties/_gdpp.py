"""The penalty of GDPP."""

import functools

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.distances import checks
from buresgan_jax.distances.linalg import matmul, rounding_tolerance, safe_reciprocal, symmetric_part
from buresgan_jax.distances.public import Array, explained, in_float32
from buresgan_jax.penalties._features import MAX_SAMPLES, check_rows, feature_rows

_MAGNITUDE_WEIGHT = 1e-4  # weight of the eigenvalues relative to the eigenvectors, from the authors
_SMALLEST_NORM = 1e-6


@explained
@in_float32
def gdpp_penalty(fake_features: Array, real_features: Array, *, signed: bool = False) -> jax.Array:
    r"""Computes the difference between the spectra of the Gram matrices of a fake and a real batch.

    For Gram matrices :math:`L = H H^T` of row-normalized features with eigenvalues :math:`l` (ascending) and
    eigenvectors :math:`v`, it is :math:`10^{-4}\,\mathrm{mean}_j (l_j^r - l_j^f)^2 - \sum_j w_j |\langle v_j^f, v_j^r
    \rangle|`, where w are the real eigenvalues scaled to [0, 1].

    Args:
        fake_features: Features of the fake batch, `[n, dim]`, floating dtype. They get the gradient.
        real_features: Features of the real batch, `[n, dim]`, same dtype, treated as a constant.
        signed: Whether to omit the absolute value, as the authors do. The value then depends on the signs of
            eigenvectors, which are arbitrary.

    Returns:
        Scalar, same dtype. Cost: two `eigh` of n x n.

    Raises:
        ValueError: A batch is not `[n, dim]`, is empty, or their shapes differ.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        The derivative of an eigenvector divides by gaps between eigenvalues. Gaps within rounding (`4 sqrt(n) eps *
        largest`), such as between the zero eigenvalues for n > dim, count as ties and give no derivative. Eigenvectors
        with small gaps are ill-conditioned, more so in float32. The value depends on the order of the rows; this is a
        property of the method.

    References:
        Elfeki et al., "GDPP: Learning Diverse Generations Using Determinantal Point Processes", ICML 2019.
        https://arxiv.org/abs/1812.00068.
    """
    checks.check_batches(fake_features=fake_features, real_features=real_features)
    if len(fake_features) != len(real_features):
        raise ValueError(
            "fake_features and real_features must have equal numbers of rows, which this penalty pairs, "
            f"got {len(fake_features)} and {len(real_features)}."
        )
    fake_values, fake_vectors = _eigh(_gram(fake_features))
    real_values, real_vectors = _eigh(_gram(jax.lax.stop_gradient(real_features)))
    spread = jnp.max(real_values) - jnp.min(real_values)
    weights = (real_values - jnp.min(real_values)) * safe_reciprocal(spread, spread > 0)
    alignments = jnp.sum(fake_vectors * real_vectors, axis=0)
    structure = jnp.sum(weights * (alignments if signed else jnp.abs(alignments)))
    return _MAGNITUDE_WEIGHT * jnp.mean((real_values - fake_values) ** 2) - structure


def _gram(features):
    squares = jnp.sum(features**2, axis=1, keepdims=True)
    rows = features * jax.lax.rsqrt(jnp.maximum(squares, _SMALLEST_NORM**2))
    return matmul(rows, rows.T)


@jax.custom_jvp
def _eigh(matrix):
    """Computes eigenvalues, ascending, and eigenvectors, with a derivative that drops ties."""
    return tuple(jnp.linalg.eigh(matrix))


@_eigh.defjvp
def _eigh_jvp(primals, tangents):
    values, vectors = _eigh(*primals)
    rotated = matmul(matmul(vectors.T, symmetric_part(tangents[0])), vectors)
    gaps = values[None, :] - values[:, None]
    inverse_gaps = safe_reciprocal(gaps, jnp.abs(gaps) > rounding_tolerance(values))
    return (values, vectors), (jnp.diagonal(rotated), matmul(vectors, inverse_gaps * rotated))


@declarations.term(
    "gdpp",
    "difference of the spectra and eigenvectors of the features' Gram matrices",
    Option("reference_compat", False, "keep the arbitrary signs of eigenvectors, as the BuresGAN authors do"),
    MAX_SAMPLES,
    check=functools.partial(check_rows, name="gdpp"),
)
def gdpp_term(step, key, *, reference_compat, max_samples):
    """Computes `gdpp_penalty` of the global batch's features, as a term of the generator."""
    return gdpp_penalty(*feature_rows(step, key, max_samples), signed=reference_compat)
