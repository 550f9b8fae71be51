"""Integrals by Gauss and Legendre's rule, of arrays and with exact derivatives."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


@functools.cache
def nodes(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rule's nodes in (0, 1) and their weights, which add up to 1; float64 `[number]`."""
    points, weights = np.polynomial.legendre.leggauss(number)
    return (points + 1) / 2, weights / 2


def average(values: jax.Array, weights: np.ndarray) -> jax.Array:
    """Computes the weighted sum over the last axis, `[..., number] -> [...]`."""
    return jnp.matmul(values, jnp.asarray(weights, values.dtype), precision="highest")


def from_zero(integrand: Callable[[jax.Array], jax.Array], number: int = 64) -> Callable[[jax.Array], jax.Array]:
    """Makes the elementwise function `d -> integral of the integrand from 0 to d`.

    Args:
        integrand: An elementwise function.
        number: Nodes for each integral.

    Returns:
        The function. Its derivative is the integrand itself, of every order and in both modes.
    """
    points, weights = nodes(number)

    @jax.custom_jvp
    def integral(d):
        return d * average(integrand(jnp.multiply.outer(d, jnp.asarray(points, d.dtype))), weights)

    @integral.defjvp
    def derivative(primals, tangents):
        (d,), (tangent,) = primals, tangents
        return integral(d), integrand(d) * tangent

    def of_array(d):
        d = jnp.asarray(d)
        return integral(d if jnp.issubdtype(d.dtype, jnp.floating) else d.astype(float))

    return of_array
