"""Square roots of symmetric matrices with custom derivatives, and helpers for the distances.

The derivatives of `eigh` and `svd` divide by gaps between eigenvalues, which gives NaN at ties. The functions here and
in `alignment` are smooth at ties. Their own rules (`jax.custom_jvp`, so that forward mode and second order work) divide
by *sums* of eigenvalues instead. If such a sum is zero up to rounding, the true derivative is infinite or not unique;
the rules drop that direction, as a pseudo-inverse does.
"""

import functools
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp

from buresgan_jax.distances import checks
from buresgan_jax.distances.public import Array, jit

# Matrix products inside distances keep full precision. The defaults are TF32 (NVIDIA) and bfloat16 (TPU).
matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def rounding_rtol(size: int, dtype) -> float:
    """Returns the size of a rounded zero, relative to the largest eigenvalue or singular value of a matrix.

    Errors add up like a random walk, so the value grows with the root of the matrix size. With the size itself, small
    true values would count as zeros.
    """
    return 4 * size**0.5 * float(jnp.finfo(dtype).eps)


def rounding_tolerance(values: jax.Array) -> jax.Array:
    """Returns the scalar below which some eigenvalues `[dim]` count as zero."""
    return rounding_rtol(values.shape[0], values.dtype) * jnp.max(values)


def safe_reciprocal(x: jax.Array, keep: jax.Array) -> jax.Array:
    """Computes 1 / x where `keep` holds and 0 elsewhere, without an intermediate infinity."""
    return jnp.where(keep, 1 / jnp.where(keep, x, 1), 0)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Computes the square root of x >= 0 with derivative 0 instead of infinity at 0."""
    zero = x <= 0  # False for NaN, which stays NaN
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def unit_rows(x: jax.Array) -> jax.Array:
    """Divides the rows of `[n, dim]` by their norms; rows of 0 stay 0, with a finite gradient."""
    norms = safe_sqrt(jnp.sum(x**2, axis=1, keepdims=True))
    return x / jnp.where(norms > 0, norms, 1)


def length(vector: jax.Array) -> jax.Array:
    """Computes the root of the sum of squares, without overflow on the way, with derivative 0 at 0."""
    exponent = unit_exponent(vector)
    return homogeneous(lambda vector: safe_sqrt(jnp.sum(vector**2)), (1,), (exponent,), vector)


def symmetric_part(matrix: jax.Array) -> jax.Array:
    """Computes `(A + A^T) / 2` of `[dim, dim]`."""
    return (matrix + matrix.T) / 2


def unit_exponent(*arrays: jax.Array) -> jax.Array:
    """Returns the exponent of `unit_scale`, an integer."""
    peak = jnp.max(jnp.stack([jnp.max(jnp.abs(jax.lax.stop_gradient(array)), initial=0) for array in arrays]))
    return jnp.where(peak > 0, jnp.maximum(jnp.frexp(peak)[1] - 1, jnp.finfo(peak.dtype).minexp), 0)


def power_of_two(exponent: jax.Array, dtype) -> jax.Array:
    """Computes `2^exponent`, or the largest number of which twice is finite where that would overflow."""
    return jnp.ldexp(jnp.ones_like(exponent, dtype), jnp.minimum(exponent, jnp.finfo(dtype).maxexp - 2))


def root_of_power_of_two(exponent: jax.Array, dtype) -> jax.Array:
    """Computes `2^(exponent / 2)`; equal differences of exponents give equal mantissas."""
    half = exponent // 2
    return jnp.where(exponent == 2 * half, 1, jnp.asarray(2**0.5, dtype)) * power_of_two(half, dtype)


def homogeneous(function: Callable, degrees: tuple[float, ...], exponents: tuple, *arrays: jax.Array) -> jax.Array:
    r"""Computes a homogeneous function of arrays from arrays with entries near one, without overflow on the way.

    Value and derivative are finite where they can be represented. The factor between the derivatives of the arrays and
    of the scaled ones saturates.

    Args:
        function: The function. Scaling argument k by c scales its value by `c ** degrees[k]`.
        degrees: Multiples of one half.
        exponents: The `unit_exponent` of each array.
        *arrays: The arguments.
    """
    # With the zero all vary over the same devices, which custom derivatives inside `jax.shard_map` need.
    zero = sum(jnp.zeros_like(array, shape=()) for array in arrays)
    return _homogeneous(function, degrees, exponents, *(array + zero for array in arrays))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _homogeneous(function, degrees, exponents, *arrays):
    scaled = [array / power_of_two(exponent, array.dtype) for array, exponent in zip(arrays, exponents, strict=True)]
    return _times_power(function(*scaled), _total(degrees, exponents))


@_homogeneous.defjvp
def _homogeneous_jvp(function, degrees, primals, tangents):
    exponents, *arrays = primals
    twice = _total(degrees, exponents)
    dtype = arrays[0].dtype
    scaled = [array / power_of_two(exponent, dtype) for array, exponent in zip(arrays, exponents, strict=True)]
    # One factor for each argument, which is finite, instead of two on both sides of the function, which may not be.
    tangents = [
        tangent * root_of_power_of_two(twice - 2 * exponent, dtype)
        for tangent, exponent in zip(tangents[1:], exponents, strict=True)
    ]
    value, tangent = jax.jvp(function, scaled, tangents)
    return _times_power(value, twice), tangent


def _total(degrees, exponents):
    """Returns twice the exponent of the result's scale."""
    return sum(round(2 * degree) * exponent for degree, exponent in zip(degrees, exponents, strict=True))


def _times_power(value, twice):
    """Multiplies by `2^(twice / 2)` in two steps, either of which is finite."""
    half = twice // 2
    return value * root_of_power_of_two(half, value.dtype) * root_of_power_of_two(twice - half, value.dtype)


def unit_scale(*arrays: jax.Array) -> jax.Array:
    """Returns a power of two near the largest entry of all arrays (1 if that is zero), a constant for derivatives.

    Division by it is exact and keeps squares from overflowing and underflowing.
    """
    return power_of_two(unit_exponent(*arrays), arrays[0].dtype)


def over_leading_axes(function: Callable, signature: str, *arrays: jax.Array) -> jax.Array:
    """Applies a function of single matrices over their broadcast leading axes, even if rank promotion is forbidden."""
    core_ranks = [core.count(",") + 1 if core else 0 for core in re.findall(r"\((.*?)\)", signature.split("->")[0])]
    leading = [array.shape[: array.ndim - core] for array, core in zip(arrays, core_ranks, strict=True)]
    rank = max(map(len, leading))
    arrays = [
        array.reshape((1,) * (rank - len(axes)) + array.shape) for array, axes in zip(arrays, leading, strict=True)
    ]
    return jnp.vectorize(function, signature=signature)(*arrays)


@jit
def sqrtm(matrix: Array) -> jax.Array:
    r"""Computes the principal square root of symmetric positive semidefinite matrices by eigendecomposition.

    Args:
        matrix: Symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype. Only its symmetric part is
            used. Eigenvalues that rounding made negative count as zero.

    Returns:
        The symmetric positive semidefinite root, same shape and dtype.

    Raises:
        ValueError: The matrices are not square.
        TypeError: The dtype is not floating.

    Note:
        Cost O(dim^3). The derivative solves the Sylvester equation `S dS + dS S = dA` in the eigenbasis, so it is exact
        at repeated eigenvalues. Between two eigenvalues that are both below `4 sqrt(dim) eps * largest` the true
        derivative is infinite; the rule returns zero. Differentiable to any order in forward and reverse mode.
    """
    checks.check_square("matrix", matrix)
    return over_leading_axes(_sqrtm_of_one, "(d,d)->(d,d)", matrix)


def _sqrtm_of_one(matrix):
    exponent = 2 * (unit_exponent(matrix) // 2)  # its root is exact
    return homogeneous(_sqrtm_of_scaled, (0.5,), (exponent,), matrix)


def _sqrtm_of_scaled(matrix):
    eigenvalues, basis = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    return _root(matrix, basis, jnp.sqrt(jnp.maximum(eigenvalues, 0)))


@jax.custom_jvp
def _root(matrix, basis, roots):
    """Computes the root of `matrix` from its eigenbasis, which is a constant: the derivative rule accounts for it."""
    del matrix
    return matmul(basis * roots[None, :], basis.T)


@_root.defjvp
def _root_jvp(primals, tangents):
    _, basis, roots = primals
    root = _root(*primals)
    # eigh symmetrizes its input, so the derivative does too.
    return root, _solve_for_root(root, basis, roots, symmetric_part(tangents[0]))


def _solve_for_root(root, basis, roots, right):
    # Roots of eigenvalues at rounding level are dropped.
    return solve_sylvester(root, basis, roots, right, tolerance=jnp.sqrt(rounding_tolerance(roots**2)))


def solve_sylvester(root, basis, roots, right, *, tolerance):
    """Solves `root X + X root = right` for X in the eigenbasis of `root`. Sums of roots up to `tolerance` give zero.

    It is a `custom_linear_solve`: its derivatives, in either mode and of any order, are again such solves and never
    differentiate the basis.
    """
    sums = roots[:, None] + roots[None, :]
    inverse = safe_reciprocal(sums, sums > tolerance)

    def solve(_, right):
        rotated = matmul(matmul(basis.T, right), basis)
        return matmul(matmul(basis, rotated * inverse), basis.T)

    return jax.lax.custom_linear_solve(lambda x: matmul(root, x) + matmul(x, root), right, solve, symmetric=True)


@jit
def inv_sqrtm(matrix: Array) -> jax.Array:
    r"""Computes the inverse of the principal square root of symmetric positive semidefinite matrices.

    For singular matrices it is the pseudo-inverse.

    Args:
        matrix: Symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype. Only its symmetric part is
            used.

    Returns:
        Symmetric positive semidefinite, same shape and dtype. Eigenvalues up to `4 sqrt(dim) eps * largest` count as
        zero, and so do their inverses.

    Raises:
        ValueError: The matrices are not square.
        TypeError: The dtype is not floating.

    Note:
        Cost O(dim^3). On the range, the derivative is that of the inverse root; between range and null space, it is the
        derivative along matrices of the same rank. Differentiable to any order in forward and reverse mode.
    """
    checks.check_square("matrix", matrix)
    return over_leading_axes(_inv_sqrtm_of_one, "(d,d)->(d,d)", matrix)


def _inv_sqrtm_of_one(matrix):
    exponent = 2 * (unit_exponent(matrix) // 2)
    return homogeneous(_inv_sqrtm_of_scaled, (-0.5,), (exponent,), matrix)


def _inv_sqrtm_of_scaled(matrix):
    eigenvalues, basis = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    kept = eigenvalues > rounding_tolerance(eigenvalues)
    return _inverse_root(matrix, basis, jnp.where(kept, jnp.sqrt(jnp.maximum(eigenvalues, 0)), 0))


@jax.custom_jvp
def _inverse_root(matrix, basis, roots):
    """Computes the inverse root as `_root` computes the root. Roots that are zero stay zero."""
    del matrix
    return matmul(basis * safe_reciprocal(roots, roots > 0)[None, :], basis.T)


@_inverse_root.defjvp
def _inverse_root_jvp(primals, tangents):
    _, basis, roots = primals
    tangent = symmetric_part(tangents[0])
    root, inverse = _root(*primals), _inverse_root(*primals)
    within = matmul(matmul(inverse, _solve_for_root(root, basis, roots, tangent)), inverse)
    outside = jnp.eye(root.shape[0], dtype=root.dtype) - matmul(inverse, root)
    cube = matmul(matmul(inverse, inverse), inverse)
    across = matmul(matmul(cube, tangent), outside)
    return inverse, across + across.T - within
