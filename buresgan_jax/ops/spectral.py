"""The spectral norm of a linear operator, such as a convolution with its strides and padding, by power iteration."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

Operator = Callable[[jax.Array], jax.Array]


def transpose(operator: Operator, x: jax.Array | jax.ShapeDtypeStruct) -> Operator:
    """Returns the transpose of a linear operator.

    Args:
        operator: Linear function of one array.
        x: An array of the shape and dtype of its argument; its values play no part.
    """
    _, pullback = jax.vjp(operator, jnp.zeros(x.shape, x.dtype))
    return lambda y: pullback(y)[0]


def on_smaller_side(operator: Operator, x: jax.ShapeDtypeStruct) -> tuple[Operator, jax.ShapeDtypeStruct]:
    """Returns the operator or its transpose, whichever takes the smaller array, and the shape of that array.

    Both have the same spectral norm.

    Args:
        operator: Linear function of one array.
        x: Shape and dtype of its argument.
    """
    y = jax.eval_shape(operator, x)
    return (operator, x) if x.size <= y.size else (transpose(operator, x), y)


def power_iteration(operator: Operator, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Estimates the spectral norm from a vector, and improves the vector.

    The estimate is `|A v|`. Its derivative is that by the operator, with v as a constant, which is the exact derivative
    once v has converged.

    Args:
        operator: Linear function A of one array.
        vector: The array v, of length 1.

    Returns:
        The estimate, a scalar that is at most the spectral norm, and the next v, `A^T A v` of length 1, a constant for
        derivatives.

    Note:
        Cost: one A and one A^T.

    References:
        Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
        https://arxiv.org/abs/1802.05957 (on the kernel as a matrix). Wang et al., "Improving MMD-GAN Training with
        Repulsive Loss Function", ICLR 2019. https://arxiv.org/abs/1812.09916 (on the convolution itself).
    """
    vector = jax.lax.stop_gradient(vector)
    image = operator(vector)
    norm = jnp.sqrt(jnp.sum(image**2) + jnp.finfo(image.dtype).tiny)
    following = transpose(operator, vector)(image)
    length = jnp.sqrt(jnp.sum(following**2))
    # An operator that maps the vector to 0 says nothing about a better one.
    following = jnp.where(length > 0, following / jnp.where(length > 0, length, 1), vector)
    return norm, jax.lax.stop_gradient(following)


def spectral_norm(operator: Operator, vector: jax.Array, *, num_iterations: int) -> tuple[jax.Array, jax.Array]:
    """Runs `power_iteration` several times; returns the last estimate and the next vector."""
    vector, _ = jax.lax.scan(lambda v, _: (power_iteration(operator, v)[1], None), vector, length=num_iterations - 1)
    return power_iteration(operator, vector)


def exact_spectral_norm(operator: Operator, shape: Sequence[int], dtype=jnp.float32) -> jax.Array:
    """Computes the largest singular value of a linear operator from its dense matrix, as a reference for small ones.

    Args:
        operator: Linear function of one array.
        shape: Shape of its argument.
        dtype: Dtype of its argument.

    Returns:
        Scalar.

    Note:
        For n numbers in and m out: n operators, memory O(n m), and time O(n m min(n, m)).
    """
    basis = jnp.eye(math.prod(shape), dtype=dtype).reshape(-1, *shape)
    images = jax.lax.map(operator, basis)
    return jnp.linalg.svd(images.reshape(len(basis), -1), compute_uv=False)[0]
