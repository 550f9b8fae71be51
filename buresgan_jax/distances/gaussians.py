"""The Bures-Wasserstein (Frechet) distance between Gaussians."""

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks, linalg
from buresgan_jax.distances.bures import squared_bures_of_pair
from buresgan_jax.distances.methods import METHODS, Method
from buresgan_jax.distances.public import Array, jit


@jit
def squared_bures_wasserstein_distance(
    mean_x: Array, cov_x: Array, mean_y: Array, cov_y: Array, *, method: Method = "eigh"
) -> jax.Array:
    r"""Computes the squared 2-Wasserstein distance between Gaussians: :math:`\|\mu - \nu\|^2 + B^2(A, B)`.

    It is also called the Frechet distance; on features of Inception-v3 it is the Frechet inception distance.

    Args:
        mean_x: Mean, shape `[..., dim]`, floating dtype.
        cov_x: Covariance, symmetric positive semidefinite, shape `[..., dim, dim]`.
        mean_y: Mean of the other Gaussian, shape `[..., dim]`.
        cov_y: Covariance of the other Gaussian, shape `[..., dim, dim]`. Leading axes of all four broadcast.
        method: See `squared_bures_distance`.

    Returns:
        Shape `[...]`, same dtype, in squared units of the features. At least 0.

    Raises:
        ValueError: The shapes do not match, or the method is unknown.
        TypeError: A dtype is not floating, or the dtypes differ.
    """
    _check(mean_x, cov_x, mean_y, cov_y, method)

    def of_pair(mean_x, cov_x, mean_y, cov_y):
        return jnp.sum((mean_x - mean_y) ** 2) + squared_bures_of_pair(cov_x, cov_y, method)

    return linalg.over_leading_axes(of_pair, "(d),(d,d),(d),(d,d)->()", mean_x, cov_x, mean_y, cov_y)


@jit
def bures_wasserstein_distance(
    mean_x: Array, cov_x: Array, mean_y: Array, cov_y: Array, *, method: Method = "eigh"
) -> jax.Array:
    """Computes the 2-Wasserstein distance between Gaussians. Its gradient at distance zero is zero.

    Arguments and errors are those of `squared_bures_wasserstein_distance`.
    """
    _check(mean_x, cov_x, mean_y, cov_y, method)

    def of_pair(mean_x, cov_x, mean_y, cov_y):
        distance = linalg.safe_sqrt(squared_bures_of_pair(cov_x, cov_y, method))
        return linalg.length(jnp.append(mean_x - mean_y, distance))

    return linalg.over_leading_axes(of_pair, "(d),(d,d),(d),(d,d)->()", mean_x, cov_x, mean_y, cov_y)


def _check(mean_x, cov_x, mean_y, cov_y, method):
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)
    for name, mean in (("mean_x", mean_x), ("mean_y", mean_y)):
        checks.check_last_axis(name, mean, cov_x.shape[-1], "the mean of the Gaussian with that covariance")
    checks.check_same_dtype(mean_x=mean_x, cov_x=cov_x, mean_y=mean_y)
