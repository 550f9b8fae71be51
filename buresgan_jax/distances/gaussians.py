"""The Bures-Wasserstein (Frechet) distance between Gaussians."""

import functools

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks, linalg
from buresgan_jax.distances.bures import squared_bures_of_pair
from buresgan_jax.distances.methods import METHODS, Method


@functools.partial(jax.jit, static_argnames="method")
def squared_bures_wasserstein_distance(
    mean_x: jax.Array, cov_x: jax.Array, mean_y: jax.Array, cov_y: jax.Array, *, method: Method = "eigh"
) -> jax.Array:
    r"""Squared 2-Wasserstein distance between Gaussians: :math:`\|\mu - \nu\|^2 + B^2(A, B)`.

    Also called Frechet distance; with the features of Inception-v3 it is the Frechet inception distance.

    Args:
        mean_x: shape `[..., dim]`, float32 or float64.
        cov_x: symmetric positive semidefinite, shape `[..., dim, dim]`.
        mean_y: shape `[..., dim]`.
        cov_y: shape `[..., dim, dim]`; leading axes of all four broadcast.
        method: see `squared_bures_distance`.

    Returns:
        Shape `[...]`, same dtype, in squared units of the features. At least 0.

    Raises:
        ValueError: shapes do not fit, or the method is unknown.
        TypeError: not float32 or float64, or the dtypes differ.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)
    for name, mean in (("mean_x", mean_x), ("mean_y", mean_y)):
        checks.check_last_axis(name, mean, cov_x.shape[-1], "a mean of the Gaussian with that covariance")
    checks.check_same_dtype(mean_x=mean_x, cov_x=cov_x, mean_y=mean_y)

    def of_pair(mean_x, cov_x, mean_y, cov_y):
        return jnp.sum((mean_x - mean_y) ** 2) + squared_bures_of_pair(cov_x, cov_y, method)

    return linalg.over_leading_axes(of_pair, "(d),(d,d),(d),(d,d)->()", mean_x, cov_x, mean_y, cov_y)


@functools.partial(jax.jit, static_argnames="method")
def bures_wasserstein_distance(
    mean_x: jax.Array, cov_x: jax.Array, mean_y: jax.Array, cov_y: jax.Array, *, method: Method = "eigh"
) -> jax.Array:
    """2-Wasserstein distance between Gaussians; the gradient at distance zero is zero. See the squared form."""
    return linalg.safe_sqrt(squared_bures_wasserstein_distance(mean_x, cov_x, mean_y, cov_y, method=method))
