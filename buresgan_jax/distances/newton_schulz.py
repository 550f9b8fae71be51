"""Polar factors and square roots by matrix products only: the fast way where products are cheap (GPU, TPU).

One scaled step takes every singular value x of the iterate, all in (0, 1], to `a x (3 - (a x)^2) / 2`, which keeps them
there and multiplies small ones by 2.5 (1.5 without the scaling a). The smallest one is bounded from below by what
rounding leaves of a zero, so that the scalings and the number of steps are constants, known when tracing. Scaling after
Chen & Chow, "A stable scaling of Newton-Schulz for improving the sign function computation of a Hermitian matrix",
2014. Nothing here is to be differentiated through: the derivatives are in `alignment` and `distances`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.distances.linalg import matmul, symmetric_part

# Without it the largest singular value would be sent close to zero, where rounding can turn its sign.
_SMALLEST_ASSUMED = 0.05
_NEXT_SHIFT = 16.0


@functools.lru_cache
def _scalings(smallest: float, eps: float) -> np.ndarray:
    """Factors `a` of the steps that take [smallest, 1] to 1 up to eps."""
    factors, lower = [], smallest
    while 1 - lower > eps:
        bound = max(lower, _SMALLEST_ASSUMED)
        factor = (3 / (1 + bound + bound**2)) ** 0.5
        lower = factor * lower * (3 - (factor * lower) ** 2) / 2
        factors.append(factor)
    return np.asarray(factors)


def _steps(smallest, dtype):
    return jnp.asarray(_scalings(smallest, float(jnp.finfo(dtype).eps)), dtype)


def _spectral_bound(matrix):
    """At least the largest singular value, at most its fourth root of the rank; 1 for a zero matrix."""
    peak = jnp.max(jnp.abs(matrix))
    peak = jnp.where(peak > 0, peak, 1)
    gram = matmul(matrix.T, matrix / peak) / peak
    norm = peak * jnp.sqrt(jnp.sqrt(jnp.sum(gram**2)))
    # Above 1 by what rounding could be short of.
    return 1.01 * jnp.where(norm > 0, norm, 1)


def polar(matrix: jax.Array) -> jax.Array:
    """The orthogonal polar factor Q of `matrix = Q H`, `[n, m]`.

    Singular values below eps times the largest end between 0 and 1: Q is a contraction there, not an isometry.
    42 products of cost min(n, m)^2 max(n, m) in float32, 86 in float64.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return polar(matrix.T).T
    eye = jnp.eye(matrix.shape[1], dtype=matrix.dtype)

    def step(x, a):
        return matmul(x, (1.5 * a) * eye - (0.5 * a**3) * matmul(x.T, x)), None

    steps = _steps(float(jnp.finfo(matrix.dtype).eps), matrix.dtype)
    return jax.lax.scan(step, matrix / _spectral_bound(matrix), steps)[0]


def roots(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Square root and inverse square root of a symmetric positive semidefinite matrix `[dim, dim]`.

    The matrix is shifted by eps times its largest eigenvalue, so the inverse is bounded by 1 / sqrt(eps) of its scale.
    Where an eigenvalue is more negative than that, on which the steps diverge, they are repeated with larger shifts.
    36 products in float32, 72 in float64, for each shift that is tried.
    """
    eps = float(jnp.finfo(matrix.dtype).eps)
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    bound = _spectral_bound(matrix)
    scaled = symmetric_part(matrix) / bound

    def step(pair, a):
        root, inverse = pair
        turn = (1.5 * a) * eye - (0.5 * a**3) * matmul(inverse, root)
        return (matmul(root, turn), matmul(turn, inverse)), None

    def go_on(carry):
        shift, root, inverse = carry
        converged = jnp.max(jnp.abs(matmul(inverse, root) - eye)) < 0.5  # False for NaN
        return ~converged & (shift < 1)

    def try_next(carry):
        shift = _NEXT_SHIFT * carry[0]
        pair, _ = jax.lax.scan(step, (scaled + shift * eye, eye), _steps(eps**0.5, matrix.dtype))
        return shift, *pair

    start = (jnp.asarray(eps / _NEXT_SHIFT, matrix.dtype), eye * 0, eye)
    _, root, inverse = jax.lax.while_loop(go_on, try_next, start)
    root = jnp.where(jnp.any(matrix != 0), symmetric_part(root), 0)  # of zero, not of the shift
    return root * jnp.sqrt(bound), symmetric_part(inverse) / jnp.sqrt(bound)


def authors_root(matrix: jax.Array, num_steps: int = 15) -> jax.Array:
    """The BuresGAN authors' square root of `[k, k]`: a fixed number of unscaled steps, differentiated as they stand.

    Eigenvalues below `1.5^(-2 num_steps)` of the norm are not reached: their roots come out too small.
    """
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    squared = jnp.sum(matrix**2)
    norm = jnp.sqrt(jnp.where(squared > 0, squared, 1))

    def step(pair, _):
        root, inverse = pair
        turn = 1.5 * eye - 0.5 * matmul(inverse, root)
        return (matmul(root, turn), matmul(turn, inverse)), None

    (root, _), _ = jax.lax.scan(step, (matrix / norm, eye), None, length=num_steps)
    return root * jnp.sqrt(norm)
