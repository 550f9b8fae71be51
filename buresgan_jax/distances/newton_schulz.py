"""Polar factors and square roots by matrix products only, which is fast where products are cheap (GPU, TPU).

The singular values of the iterate are all in (0, 1]. One scaled step maps each singular value x to
`a x (3 - (a x)^2) / 2`, which keeps them in that interval and multiplies small ones by 2.5 (1.5 without the scaling a).
The size of a rounded zero bounds the smallest one from below, so the scalings and the number of steps are constants,
known during tracing. The scaling follows Chen & Chow, "A stable scaling of Newton-Schulz for improving the sign
function computation of a Hermitian matrix", 2014. Do not differentiate through these functions: the derivative rules
are in `alignment` and `bures`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.distances.linalg import matmul, symmetric_part

# Without this bound, a step would move the largest singular value close to zero, where rounding can flip its sign.
_SMALLEST_ASSUMED = 0.05
_NEXT_SHIFT = 16.0


@functools.lru_cache
def _scalings(smallest: float, eps: float) -> np.ndarray:
    """Returns the factors `a` of the steps that map [smallest, 1] to 1 up to eps."""
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
    """Returns an upper bound of the largest singular value, at most too large by the fourth root of the rank.

    Returns 1 for a zero matrix.
    """
    peak = jnp.max(jnp.abs(matrix))
    peak = jnp.where(peak > 0, peak, 1)
    gram = matmul(matrix.T, matrix / peak) / peak
    norm = peak * jnp.sqrt(jnp.sqrt(jnp.sum(gram**2)))
    # The factor above 1 covers rounding.
    return 1.01 * jnp.where(norm > 0, norm, 1)


def polar(matrix: jax.Array) -> jax.Array:
    """Computes the orthogonal polar factor Q of `matrix = Q H`, `[n, m]`.

    Singular values below eps times the largest end between 0 and 1: there Q is a contraction, not an isometry. Takes 42
    products of cost min(n, m)^2 max(n, m) in float32, 86 in float64.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return polar(matrix.T).T
    eye = jnp.eye(matrix.shape[1], dtype=matrix.dtype)

    def step(x, a):
        return matmul(x, (1.5 * a) * eye - (0.5 * a**3) * matmul(x.T, x)), None

    steps = _steps(float(jnp.finfo(matrix.dtype).eps), matrix.dtype)
    return jax.lax.scan(step, matrix / _spectral_bound(matrix), steps)[0]


def roots(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the square root and inverse square root of a symmetric positive semidefinite matrix `[dim, dim]`.

    The matrix is shifted by eps times its largest eigenvalue, so the inverse is bounded by 1 / sqrt(eps) of its scale.
    The steps diverge if an eigenvalue is more negative than the shift; then they are repeated with a larger shift.
    Takes 36 products in float32, 72 in float64, per shift.
    """
    eps = float(jnp.finfo(matrix.dtype).eps)
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype) + jnp.zeros_like(matrix)  # see `authors_root`
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
    root = jnp.where(jnp.any(matrix != 0), symmetric_part(root), 0)  # for a zero matrix not the root of the shift
    return root * jnp.sqrt(bound), symmetric_part(inverse) / jnp.sqrt(bound)


def authors_root(matrix: jax.Array, num_steps: int = 15) -> jax.Array:
    """Computes the BuresGAN authors' square root of `[k, k]`: a fixed number of unscaled steps.

    JAX differentiates through the steps. The iteration does not converge for eigenvalues below `1.5^(-2 num_steps)` of
    the norm: their roots are too small.
    """
    # The zeros vary over the same devices as the matrix: `jax.shard_map` wants that of the start of a loop.
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype) + jnp.zeros_like(matrix)
    squared = jnp.sum(matrix**2)
    norm = jnp.sqrt(jnp.where(squared > 0, squared, 1))

    def step(pair, _):
        root, inverse = pair
        turn = 1.5 * eye - 0.5 * matmul(inverse, root)
        return (matmul(root, turn), matmul(turn, inverse)), None

    (root, _), _ = jax.lax.scan(step, (matrix / norm, eye), None, length=num_steps)
    return root * jnp.sqrt(norm)
