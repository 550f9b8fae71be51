"""Matrix functions with derivatives of their own: square roots of symmetric matrices, polar alignment of two batches.

Notation: `A`, `B` are symmetric positive semidefinite matrices `[dim, dim]`; `X`, `Y` are matrices whose rows are
examples. Every function here works on one matrix (or one pair); the public ones broadcast over leading axes.

The derivative of `eigh` and `svd` divides by gaps between eigenvalues, which is NaN at ties. The functions below are
smooth there, and their own rules (as `jax.custom_jvp`, so that forward mode and second order work) divide by *sums* of
eigenvalues instead. Where such a sum is zero up to rounding, the true derivative is infinite or not unique; the rules
leave that direction out, as a pseudo-inverse does.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

# Matrix products inside distances keep full precision: TF32 (NVIDIA) and bfloat16 (TPU) are the defaults otherwise.
matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def rounding_tolerance(values: jax.Array, size: int) -> jax.Array:
    """What counts as zero beside the largest of some eigenvalues or singular values `[k]`: a scalar."""
    return size * jnp.finfo(values.dtype).eps * jnp.max(values)


def safe_reciprocal(x: jax.Array, keep: jax.Array) -> jax.Array:
    """1 / x where `keep`, 0 elsewhere, without an infinity on the way."""
    return jnp.where(keep, 1 / jnp.where(keep, x, 1), 0)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root of x >= 0 whose derivative at 0 is 0 instead of infinite."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def check_floating(name: str, array: jax.Array) -> None:
    """Raises TypeError unless the array is real floating point."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} must have a real floating dtype, got {array.dtype}. Convert it first: {name}.astype(jnp.float32)."
        )


def check_square(name: str, matrix: jax.Array) -> None:
    """Raises ValueError unless the array is `[..., dim, dim]`, TypeError unless floating."""
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(
            f"{name} must be square matrices of shape [..., dim, dim], got shape {matrix.shape}. "
            "For a batch of feature vectors use the function that ends in _from_features."
        )
    check_floating(name, matrix)


def over_leading_axes(function: Callable, signature: str, *arrays: jax.Array) -> jax.Array:
    """Applies a function of single matrices over their broadcast leading axes, also where ranks may not be promoted."""
    rank = max(array.ndim for array in arrays)
    arrays = [jnp.reshape(array, (1,) * (rank - array.ndim) + array.shape) for array in arrays]
    return jnp.vectorize(function, signature=signature)(*arrays)


@jax.jit
def sqrtm(matrix: jax.Array) -> jax.Array:
    r"""Principal square root of symmetric positive semidefinite matrices, by eigendecomposition.

    Args:
        matrix: symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype. Only its symmetric part is
            used. Eigenvalues that rounding made negative count as zero.

    Returns:
        The symmetric positive semidefinite root, same shape and dtype.

    Raises:
        ValueError: not square.
        TypeError: not a real floating dtype.

    Note:
        Cost O(dim^3). The derivative solves the Sylvester equation `S dS + dS S = dA` in the eigenbasis, so it is exact
        at repeated eigenvalues. Between two eigenvalues that are both below `dim * eps * largest` the true derivative
        is infinite; it is taken as zero. Differentiable to any order in forward and reverse mode.
    """
    check_square("matrix", matrix)
    return over_leading_axes(_sqrtm_of_one, "(d,d)->(d,d)", matrix)


def _sqrtm_of_one(matrix):
    eigenvalues, basis = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    return _root(matrix, basis, jnp.sqrt(jnp.maximum(eigenvalues, 0)))


@jax.custom_jvp
def _root(matrix, basis, roots):
    """The root of `matrix` from its eigenbasis, which is passed along as a constant: the rule accounts for it."""
    del matrix
    return matmul(basis * roots[None, :], basis.T)


@_root.defjvp
def _root_jvp(primals, tangents):
    _, basis, roots = primals
    root = _root(*primals)
    # eigh symmetrises its input, so the derivative does too.
    return root, _solve_sylvester(root, basis, roots, (tangents[0] + tangents[0].T) / 2)


def _solve_sylvester(root, basis, roots, right):
    """X with `root X + X root = right`, by the eigenbasis of `root`.

    As a `custom_linear_solve` its derivatives, in either mode and of any order, are again such solves and never touch
    the basis.
    """
    sums = roots[:, None] + roots[None, :]
    # Roots of eigenvalues that are rounding errors.
    keep = sums > jnp.sqrt(rounding_tolerance(roots**2, roots.shape[-1]))
    inverse = safe_reciprocal(sums, keep)

    def solve(_, right):
        rotated = matmul(matmul(basis.T, right), basis)
        return matmul(matmul(basis, rotated * inverse), basis.T)

    return jax.lax.custom_linear_solve(lambda x: matmul(root, x) + matmul(x, root), right, solve, symmetric=True)


def thin_cross_svd(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Singular triplets of `X Y^T` without forming it where a batch has more rows than columns.

    Args:
        x: `[n, dim]`.
        y: `[m, dim]`.

    Returns:
        `u [n, k]`, `s [k]`, `v [m, k]` with orthonormal columns, k = min(n, m, dim): `X Y^T = u diag(s) v^T`.
        Cost O(k^3) beyond the reductions to k rows.
    """
    x_basis, x_core = _reduce_rows(x)
    y_basis, y_core = _reduce_rows(y)
    u, s, v_transposed = jnp.linalg.svd(matmul(x_core, y_core.T), full_matrices=False)
    u = u if x_basis is None else matmul(x_basis, u)
    v = v_transposed.T if y_basis is None else matmul(y_basis, v_transposed.T)
    return u, s, v


def fast_cross_svd(x: jax.Array, y: jax.Array, rtol: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The triplets of `X Y^T` with `s > rtol * max(s)`, by the eigenvalues of `(X Y^T)^T (X Y^T)`; the others are zero.

    Half the time of an SVD. Squaring costs half the digits: rtol below sqrt(eps) makes no sense, and `s` at `rtol` has
    a relative error of about eps / rtol^2. Arguments and shapes as in `thin_cross_svd`, with k = m.
    """
    cross = matmul(x, y.T)
    squares, v = jnp.linalg.eigh(matmul(cross.T, cross))
    s = jnp.sqrt(jnp.maximum(squares, 0))
    keep = s > rtol * jnp.max(s)
    v = v * keep.astype(s.dtype)[None, :]
    return matmul(cross, v) * safe_reciprocal(s, keep)[None, :], s, v


def cholesky_rows(x: jax.Array) -> jax.Array:
    """At most dim rows with (up to rounding) the same `X^T X`: `[min(n, dim), dim]`.

    A shift of dim * eps * trace keeps the factor, and its derivative, finite for singular `X^T X`.
    """
    if x.shape[0] <= x.shape[1]:
        return x
    gram = matmul(x.T, x)
    dim = gram.shape[0]
    info = jnp.finfo(x.dtype)
    shift = dim * jnp.maximum(info.eps * jnp.trace(gram), info.tiny)
    return jnp.linalg.cholesky(gram + shift * jnp.eye(dim, dtype=x.dtype)).T


def _reduce_rows(x):
    """`x = basis core` with at most dim rows in the core; the basis is None where nothing is to be reduced."""
    if x.shape[0] <= x.shape[1]:
        return None, x
    return jnp.linalg.qr(x)


def procrustes_residual(x: jax.Array, y: jax.Array, *, rtol: float | None = None, fast: bool = False) -> jax.Array:
    r"""`min ||X - Q Y||_F^2` over orthogonal Q (the shorter batch filled up with zero rows): a scalar.

    Equals :math:`\|X\|_F^2 + \|Y\|_F^2 - 2 \|X Y^T\|_*` (nuclear norm), but as a sum of squares: never negative, and
    without the cancellation of that difference where X and Y are alike.

    Args:
        x: `[n, dim]`.
        y: `[m, dim]`.
        rtol: singular values of `X Y^T` up to `rtol` times the largest give no gradient. Default: max(n, m, dim) * eps
            of the dtype, what rounding makes of a zero; `fast`: 3 * sqrt(eps).
        fast: use `fast_cross_svd` and `cholesky_rows` instead of SVD and QR. The value then also leaves out the
            singular values up to `rtol` times the largest.
    """
    if fast:
        rtol = 3 * float(jnp.finfo(x.dtype).eps) ** 0.5 if rtol is None else rtol
        y = cholesky_rows(y)
        return _residual(x, y, *fast_cross_svd(*jax.lax.stop_gradient((x, y)), rtol), rtol)
    return _residual(x, y, *thin_cross_svd(*jax.lax.stop_gradient((x, y))), rtol)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def _residual(x, y, u, s, v, rtol):
    """The residual from the singular triplets of `X Y^T`, passed along as constants: the rule accounts for them."""
    del s, rtol
    y_coordinates = matmul(v.T, y)  # [k, dim]
    # The second term is what the k rows of the smaller space cannot reach of Y.
    return jnp.sum((x - matmul(u, y_coordinates)) ** 2) + jnp.sum((y - matmul(v, y_coordinates)) ** 2)


@_residual.defjvp
def _residual_jvp(rtol, primals, tangents):
    x, y = primals[:2]
    x_tangent, y_tangent = tangents[:2]
    y_aligned, x_aligned = _align(*primals, rtol)
    # Envelope theorem: at the best Q, only X and Y themselves move the residual.
    tangent = 2 * jnp.sum((x - y_aligned) * x_tangent) + 2 * jnp.sum((y - x_aligned) * y_tangent)
    return _residual(*primals, rtol), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def _align(x, y, u, s, v, rtol):
    """`Q Y` and `Q^T X` with Q the polar factor of `X Y^T`, restricted to its singular values above the tolerance."""
    keep = _kept(x, y, s, rtol)
    return (
        matmul(u * keep[None, :], matmul(v.T, y)),
        matmul(v * keep[None, :], matmul(u.T, x)),
    )


def _kept(x, y, s, rtol):
    size = max(x.shape[0], y.shape[0], x.shape[1])
    tolerance = rounding_tolerance(s, size) if rtol is None else rtol * jnp.max(s)
    return (s > tolerance).astype(s.dtype)


@_align.defjvp
def _align_jvp(rtol, primals, tangents):
    """The change dQ of the polar factor of `M = X Y^T`, in the singular basis, applied to Y and (transposed) to X.

    Within the kept singular values `dQ_ij = (dM_ij - dM_ji) / (s_i + s_j)`; between a kept and a dropped direction (or
    one outside the thin basis) `dQ = dM / s`, the derivative along matrices of the same rank.
    """
    x, y, u, s, v = primals
    dx, dy = tangents[:2]
    keep = _kept(x, y, s, rtol)
    u, v = u * keep[None, :], v * keep[None, :]
    inverse = safe_reciprocal(s, keep > 0)

    u_dm = matmul(matmul(u.T, dx), y.T) + matmul(matmul(u.T, x), dy.T)  # U^T dM, [k, m]
    dm_v = matmul(dx, matmul(y.T, v)) + matmul(x, matmul(dy.T, v))  # dM V, [n, k]
    inner = matmul(u_dm, v)  # U^T dM V, [k, k]
    pairs = (keep[:, None] * keep[None, :]) > 0
    turn = (inner - inner.T) * safe_reciprocal(s[:, None] + s[None, :], pairs)
    left = (dm_v - matmul(u, inner)) * inverse[None, :]  # leaves the span of U
    right = (u_dm - matmul(inner, v.T)) * inverse[:, None]  # leaves the span of V

    def apply(turn, left, right, u, v, target):
        return matmul(matmul(u, turn) + left, matmul(v.T, target)) + matmul(u, matmul(right, target))

    y_tangent = apply(turn, left, right, u, v, y) + matmul(u, matmul(v.T, dy))
    x_tangent = apply(turn.T, right.T, left.T, v, u, x) + matmul(v, matmul(u.T, dx))
    return _align(x, y, *primals[2:], rtol), (y_tangent, x_tangent)
