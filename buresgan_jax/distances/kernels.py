"""Kernels between rows of two batches, `(x [n, dim], y [m, dim]) -> [n, m]`, for the maximum mean discrepancy."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks, linalg

GAUSSIAN_MIXTURE = (1.0, 2**0.5, 2.0, 8**0.5, 4.0)
RATIONAL_QUADRATIC_MIXTURE = (0.2, 0.5, 1.0, 2.0, 5.0)
# Up to this dim, distances are sums of squared differences. Beyond, they come from a matrix product: the losses of 256
# outputs of 16 numbers, with gradients, take 2.7 ms in place of 16 (two cores of an Intel Xeon).
MOST_DIFFERENCES = 3


def squared_distances(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the squared Euclidean distances between rows.

    From 4 dimensions on, the rounding error is eps times the squared distances from the mean of `y`.

    Args:
        x: Shape `[n, dim]`, float32 or float64.
        y: Shape `[m, dim]`, same dtype.

    Returns:
        Shape `[n, m]`, at least 0.

    Raises:
        ValueError: An array does not have two axes, or the dims differ.
        TypeError: A dtype is not a real floating one, or the dtypes differ.
    """
    checks.check_batches(x=x, y=y)
    if 0 < x.shape[1] <= MOST_DIFFERENCES:
        return sum((x[:, None, axis] - y[None, :, axis]) ** 2 for axis in range(x.shape[1]))
    center = jax.lax.stop_gradient(jnp.mean(y, axis=0, keepdims=True))
    x, y = x - center, y - center
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None]
    return jnp.maximum(squares - 2 * linalg.matmul(x, y.T), 0)


def gaussian_kernel(
    x: jax.Array,
    y: jax.Array,
    *,
    scales: Sequence[float] = (1.0,),
    lower_bound: float | None = None,
    upper_bound: float | None = None,
) -> jax.Array:
    """Computes the sum of Gaussian kernels, `exp(-d / (2 scale^2))` of the squared distances d.

    With bounds it is the bounded Gaussian kernel (RBF-B). Pairs beyond a bound have no gradient.

    Args:
        x: Shape `[n, dim]`, float32 or float64.
        y: Shape `[m, dim]`, same dtype.
        scales: Widths of the kernels, in the units of x.
        lower_bound: Smaller squared distances count as this one. Default: no bound.
        upper_bound: Larger squared distances count as this one. Default: no bound.

    Returns:
        Shape `[n, m]`, between 0 and the number of scales.

    References:
        Wang et al., "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019.
        https://arxiv.org/abs/1812.09916.
    """
    squared = _clip(squared_distances(x, y), lower_bound, upper_bound)
    return sum(jnp.exp(squared * (-0.5 / scale**2)) for scale in scales)


def rational_quadratic_kernel(
    x: jax.Array,
    y: jax.Array,
    *,
    exponents: Sequence[float] = RATIONAL_QUADRATIC_MIXTURE,
    lower_bound: float | None = None,
    upper_bound: float | None = None,
) -> jax.Array:
    """Computes the sum of rational quadratic kernels, `(1 + d / (2 a))^-a` of the squared distances d.

    Args:
        x: Shape `[n, dim]`, float32 or float64.
        y: Shape `[m, dim]`, same dtype.
        exponents: The exponents a.
        lower_bound: See `gaussian_kernel`.
        upper_bound: See `gaussian_kernel`.

    Returns:
        Shape `[n, m]`, between 0 and the number of exponents.

    References:
        Binkowski et al., "Demystifying MMD GANs", ICLR 2018. https://arxiv.org/abs/1801.01401.
    """
    squared = _clip(squared_distances(x, y), lower_bound, upper_bound)
    return sum(jnp.exp(-exponent * jnp.log1p(squared * (0.5 / exponent))) for exponent in exponents)


def cauchy_kernel(x: jax.Array, y: jax.Array, *, scales: jax.Array | Sequence[float] = (1.0,)) -> jax.Array:
    """Computes the sum of Cauchy kernels, `1 / (1 + d / (2 scale^2))` of the squared distances d.

    This is the rational quadratic kernel with exponent 1, in several widths. Unlike a Gaussian kernel of the same
    width it has a gradient far away.

    Args:
        x: Shape `[n, dim]`, float32 or float64.
        y: Shape `[m, dim]`, same dtype.
        scales: Widths of the kernels, in the units of x: numbers, or an array `[k]`.

    Returns:
        Shape `[n, m]`, between 0 and the number of scales.
    """
    squared = squared_distances(x, y)
    return sum(1 / (1 + squared * (0.5 / scale**2)) for scale in scales)


def linear_kernel(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the inner products of rows, `[n, m]`. Its MMD is the distance between the means."""
    checks.check_batches(x=x, y=y)
    return linalg.matmul(x, y.T)


def _clip(squared, lower_bound, upper_bound):
    squared = squared if lower_bound is None else jnp.maximum(squared, lower_bound)
    return squared if upper_bound is None else jnp.minimum(squared, upper_bound)
