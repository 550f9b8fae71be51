"""Procrustes alignment of two matrices, and its derivatives.

Notation: `X [n, dim]` and `Y [m, dim]` are two matrices with rows of equal length: features, or roots of covariances.
The polar factor Q of `X Y^T` is the rotation that brings the rows of Y closest to X (the shorter matrix is padded with
zero rows). Every function works on one pair. The derivative rules divide by sums of singular values, never by gaps, and
drop directions in which Q is not unique.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from buresgan_jax.distances import newton_schulz
from buresgan_jax.distances.linalg import matmul, rounding_rtol, safe_reciprocal, unit_scale

Method = Literal["svd", "eigh", "newton_schulz"]


class Singular(NamedTuple):
    """Q as the singular triplets of `X Y^T = u diag(s) v^T`. Where `keep` is 0, Q is treated as unknown."""

    u: jax.Array  # [n, k]
    s: jax.Array  # [k]
    v: jax.Array  # [m, k]
    keep: jax.Array  # [k], 0 or 1


class Polar(NamedTuple):
    """Q as a matrix, `[n, m]`."""

    q: jax.Array


def find_rotation(x: jax.Array, y: jax.Array, method: Method, rtol: float | None = None) -> Singular | Polar:
    """Returns the polar factor of `X Y^T` as a constant for derivatives.

    The derivative rules of the functions below account for its change.

    Args:
        x: Matrix X, `[n, dim]`.
        y: Matrix Y, `[m, dim]`.
        method: `"svd"` is exact up to rounding. `"eigh"` uses `fast_cross_svd`. `"newton_schulz"` uses matrix products
            only.
        rtol: Singular values up to `rtol` times the largest are dropped. Default: `rounding_rtol` of min(n, m, dim) for
            `"svd"`; 3 * sqrt(eps) for `"eigh"`. Not used by `"newton_schulz"`.
    """
    x, y = jax.lax.stop_gradient((x, y))
    if method == "newton_schulz":
        return _polar_by_products(x, y)
    if method == "eigh":
        rtol = 3 * float(jnp.finfo(x.dtype).eps) ** 0.5 if rtol is None else rtol
        u, s, v = fast_cross_svd(x, _cholesky_rows(y), rtol)
    else:
        rtol = rounding_rtol(min(*x.shape, y.shape[0]), x.dtype) if rtol is None else rtol
        u, s, v = thin_cross_svd(x, y)
    keep = s > rtol * jnp.max(s)
    if v.shape[0] < y.shape[0]:  # v belongs to the reduced rows
        v = matmul(y, matmul(x.T, u)) * safe_reciprocal(s, keep)[None, :]
    return Singular(u, s, v, keep.astype(s.dtype))


def _polar_by_products(x, y):
    x_basis, x_core = _reduce_rows(x)
    y_basis, y_core = _reduce_rows(y)
    q = newton_schulz.polar(matmul(x_core, y_core.T))
    q = q if x_basis is None else matmul(x_basis, q)
    return Polar(q if y_basis is None else matmul(q, y_basis.T))


def thin_cross_svd(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Computes the singular triplets of `X Y^T`. Batches with more rows than columns are reduced first.

    Args:
        x: Matrix X, `[n, dim]`.
        y: Matrix Y, `[m, dim]`.

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
    """Computes the triplets of `X Y^T` with `s > rtol * max(s)` by `eigh` of `(X Y^T)^T (X Y^T)`; the others are zero.

    Takes half the time of an SVD. Squaring costs half the digits: triplets at `rtol` have a relative error of about
    eps / rtol^2, so an rtol below sqrt(eps) gains nothing (all columns still have length one). Arguments and shapes are
    those of `thin_cross_svd`, with k = m.
    """
    cross = matmul(x, y.T)
    scale = unit_scale(cross)
    cross = cross / scale
    _, v = jnp.linalg.eigh(matmul(cross.T, cross))
    us = matmul(cross, v)
    s = jnp.sqrt(jnp.sum(us**2, axis=0))  # accurate to eps of the largest, unlike the roots of the eigenvalues
    keep = s > rtol * jnp.max(s)
    return us * safe_reciprocal(s, keep)[None, :], s * scale, v * keep.astype(s.dtype)[None, :]


def _cholesky_rows(x):
    """Returns at most dim rows with nearly the same `X^T X`, `[min(n, dim), dim]`, in a fifth of the time of a QR.

    A shift keeps the factor finite if `X^T X` is singular. The resulting rotation is too short along directions with a
    variance near the shift. This hardly affects `residual` and `align`, which use X itself.
    """
    if x.shape[0] <= x.shape[1]:
        return x
    gram = matmul(x.T, x)
    shift = jnp.maximum(rounding_rtol(x.shape[0], x.dtype) * jnp.trace(gram), jnp.finfo(x.dtype).tiny)
    return jnp.linalg.cholesky(gram + shift * jnp.eye(gram.shape[0], dtype=x.dtype)).T


def _reduce_rows(x):
    """Returns `basis, core` with `x = basis core` and at most dim rows in the core; basis None means x = core."""
    if x.shape[0] <= x.shape[1]:
        return None, x
    return jnp.linalg.qr(x)


# Functions of the rotation


@jax.custom_jvp
def residual(x: jax.Array, y: jax.Array, rotation: Singular | Polar) -> jax.Array:
    r"""Computes `min ||X - Q Y||_F^2`, a scalar that is never negative.

    Equals :math:`\|X\|_F^2 + \|Y\|_F^2 - 2 \|X Y^T\|_*` (nuclear norm), but is computed as a sum of squares, which
    avoids the cancellation of that difference for similar X and Y.
    """
    if isinstance(rotation, Polar):
        turned = matmul(rotation.q, y)
        # The second term is the part of Y that Q loses. It is rounding error if Q is orthogonal.
        return jnp.maximum(jnp.sum((x - turned) ** 2) + jnp.sum(y * (y - matmul(rotation.q.T, turned))), 0)
    coordinates = matmul(rotation.v.T, y)  # [k, dim]
    # The second term is the part of Y outside the span of v.
    return jnp.sum((x - matmul(rotation.u, coordinates)) ** 2) + jnp.sum((y - matmul(rotation.v, coordinates)) ** 2)


@residual.defjvp
def _residual_jvp(primals, tangents):
    x, y = primals[:2]
    y_aligned, x_aligned = align(*primals)
    # Envelope theorem: at the optimal Q, a change of Q does not change the residual to first order.
    tangent = 2 * jnp.sum((x - y_aligned) * tangents[0]) + 2 * jnp.sum((y - x_aligned) * tangents[1])
    return residual(*primals), tangent


@jax.custom_jvp
def nuclear_norm(x: jax.Array, y: jax.Array) -> jax.Array:
    """Computes the sum of the singular values of `X Y^T`, a scalar, by an SVD without vectors."""
    x_core, y_core = _reduce_rows(x)[1], _reduce_rows(y)[1]
    return jnp.sum(jnp.linalg.svd(matmul(x_core, y_core.T), compute_uv=False))


@nuclear_norm.defjvp
def _nuclear_norm_jvp(primals, tangents):
    x, y = primals
    rotation = find_rotation(x, y, "svd")
    y_aligned, x_aligned = align(x, y, rotation)
    return jnp.sum(x * y_aligned), jnp.sum(y_aligned * tangents[0]) + jnp.sum(x_aligned * tangents[1])


@jax.custom_jvp
def align(x: jax.Array, y: jax.Array, rotation: Singular | Polar) -> tuple[jax.Array, jax.Array]:
    """Returns `Q Y [n, dim]` and `Q^T X [m, dim]`, without the dropped directions."""
    if isinstance(rotation, Polar):
        return matmul(rotation.q, y), matmul(rotation.q.T, x)
    u, _, v, keep = rotation
    return matmul(u * keep[None, :], matmul(v.T, y)), matmul(v * keep[None, :], matmul(u.T, x))


@align.defjvp
def _align_jvp(primals, tangents):
    x, y, rotation = primals
    if isinstance(rotation, Polar):  # the second derivative needs the singular basis
        rotation = find_rotation(x, y, "svd")
    return align(*primals), _align_tangent(x, y, rotation, *tangents[:2])


def _align_tangent(x, y, rotation, dx, dy):
    """Applies the change dQ of the polar factor of `M = X Y^T` to Y and, transposed, to X, in the singular basis.

    Between kept directions `dQ_ij = (dM_ij - dM_ji) / (s_i + s_j)`. Between a kept and a dropped direction (or one
    outside the thin basis) `dQ = dM / s`, the derivative along matrices of the same rank.
    """
    u, s, v, keep = rotation
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
    return y_tangent, x_tangent
