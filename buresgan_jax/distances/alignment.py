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
_SHORTEST = 0.5  # of the directions of `fast_cross_svd`: shorter ones lie in the shift of the Cholesky factor


class Singular(NamedTuple):
    """Q as the singular triplets of `X Y^T = u diag(s) v^T`. Where `keep` is 0, Q is treated as unknown."""

    u: jax.Array  # [n, k]
    s: jax.Array  # [k]
    v: jax.Array  # [m, k]
    keep: jax.Array  # [k], 0 or 1


class FastSingular(NamedTuple):
    """The same without the dropped directions, which are zero. Small ones are not quite orthogonal to each other."""

    u: jax.Array  # [n, k]
    s: jax.Array  # [k]
    v: jax.Array  # [m, k]


class Polar(NamedTuple):
    """Q as a matrix, `[n, m]`."""

    q: jax.Array


Rotation = Singular | FastSingular | Polar


def find_rotation(x: jax.Array, y: jax.Array, method: Method, rtol: float | None = None) -> Rotation:
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
    scale_x, scale_y = unit_scale(x), unit_scale(y)
    rotation = _find_rotation(x / scale_x, y / scale_y, method, rtol)
    return rotation if isinstance(rotation, Polar) else rotation._replace(s=rotation.s * scale_x * scale_y)


def _find_rotation(x, y, method, rtol):
    if method == "newton_schulz":
        return _polar_by_products(x, y)
    if method == "eigh":
        return fast_cross_svd(x, y, 3 * float(jnp.finfo(x.dtype).eps) ** 0.5 if rtol is None else rtol)
    rtol = rounding_rtol(min(*x.shape, y.shape[0]), x.dtype) if rtol is None else rtol
    u, s, v = thin_cross_svd(x, y)
    return Singular(u, s, v, (s > rtol * jnp.max(s)).astype(s.dtype))


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


def fast_cross_svd(x: jax.Array, y: jax.Array, rtol: float) -> FastSingular:
    """Computes the triplets of `X Y^T` with `s > rtol * max(s)` by `eigh` of `(X Y^T)^T (X Y^T)`; the others are zero.

    Takes half the time of an SVD. Squaring costs half the digits: directions of the size of `rtol` are inclined to each
    other by about eps / rtol^2, and to large ones by eps / rtol, so an rtol below sqrt(eps) gains nothing (all columns
    still have length one). Arguments and shapes are those of `thin_cross_svd`, with k = min(m, dim).
    """
    root = None if y.shape[0] <= y.shape[1] else _cholesky_root(y)
    cross = matmul(x, (y if root is None else root).T)
    scale = unit_scale(cross)
    cross = cross / scale
    _, v = jnp.linalg.eigh(matmul(cross.T, cross))
    us = matmul(cross, v)
    s = jnp.sqrt(jnp.sum(us**2, axis=0))  # accurate to eps of the largest, unlike the roots of the eigenvalues
    keep = s > rtol * jnp.max(s)
    us = us * safe_reciprocal(s, keep)[None, :]
    if root is not None:
        # `Y^T X u / s` would turn a small inclination towards a large direction into one that is 1 / rtol times larger.
        v = matmul(y, jax.scipy.linalg.solve_triangular(root, v))
        lengths = jnp.sqrt(jnp.sum(v**2, axis=0))  # below one along directions with a variance near the shift
        keep &= lengths > _SHORTEST
        v, s = v * safe_reciprocal(lengths, keep)[None, :], s * lengths
    kept = keep.astype(s.dtype)
    return FastSingular(us * kept[None, :], s * scale * kept, v * kept[None, :])


def _cholesky_root(x):
    """Returns R `[dim, dim]` with nearly `R^T R = X^T X`, in a fifth of the time of a QR.

    A shift keeps the factor finite if `X^T X` is singular.
    """
    gram = matmul(x.T, x)
    shift = jnp.maximum(rounding_rtol(x.shape[0], x.dtype) * jnp.linalg.norm(gram), jnp.finfo(x.dtype).tiny)
    return jnp.linalg.cholesky(gram + shift * jnp.eye(gram.shape[0], dtype=x.dtype)).T


def _reduce_rows(x):
    """Returns `basis, core` with `x = basis core` and at most dim rows in the core; basis None means x = core."""
    if x.shape[0] <= x.shape[1]:
        return None, x
    return jnp.linalg.qr(x)


# Functions of the rotation


@jax.custom_jvp
def residual(x: jax.Array, y: jax.Array, rotation: Rotation) -> jax.Array:
    r"""Computes `min ||X - Q Y||_F^2`, a scalar that is never negative.

    Equals :math:`\|X\|_F^2 + \|Y\|_F^2 - 2 \|X Y^T\|_*` (nuclear norm), but is computed as a sum of squares, which
    avoids the cancellation of that difference for similar X and Y.
    """
    if isinstance(rotation, Polar):
        turned = matmul(rotation.q, y)
        # The second term is the part of Y that Q loses. It is rounding error if Q is orthogonal.
        return jnp.maximum(jnp.sum((x - turned) ** 2) + jnp.sum(y * (y - matmul(rotation.q.T, turned))), 0)
    coordinates = matmul(rotation.v.T, y)  # [k, dim]
    turned = matmul(rotation.u, coordinates)
    if isinstance(rotation, FastSingular):  # the difference of the lengths also counts how u and v are inclined
        return jnp.maximum(jnp.sum((x - turned) ** 2) + (jnp.sum(y**2) - jnp.sum(turned**2)), 0)
    # The second term is the part of Y outside the span of v.
    return jnp.sum((x - turned) ** 2) + jnp.sum((y - matmul(rotation.v, coordinates)) ** 2)


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
def align(x: jax.Array, y: jax.Array, rotation: Rotation) -> tuple[jax.Array, jax.Array]:
    """Returns `Q Y [n, dim]` and `Q^T X [m, dim]`, without the dropped directions."""
    if isinstance(rotation, Polar):
        return matmul(rotation.q, y), matmul(rotation.q.T, x)
    u, _, v = _without_dropped(rotation)
    return matmul(u, matmul(v.T, y)), matmul(v, matmul(u.T, x))


def _without_dropped(rotation):
    if isinstance(rotation, FastSingular):
        return rotation
    u, s, v, keep = rotation
    return u * keep[None, :], s * keep, v * keep[None, :]


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
    u, s, v = _without_dropped(rotation)
    keep = s > 0
    inverse = safe_reciprocal(s, keep)

    u_dm = matmul(matmul(u.T, dx), y.T) + matmul(matmul(u.T, x), dy.T)  # U^T dM, [k, m]
    dm_v = matmul(dx, matmul(y.T, v)) + matmul(x, matmul(dy.T, v))  # dM V, [n, k]
    inner = matmul(u_dm, v)  # U^T dM V, [k, k]
    pairs = keep[:, None] & keep[None, :]
    turn = (inner - inner.T) * safe_reciprocal(s[:, None] + s[None, :], pairs)
    left = (dm_v - matmul(u, inner)) * inverse[None, :]  # leaves the span of U
    right = (u_dm - matmul(inner, v.T)) * inverse[:, None]  # leaves the span of V

    def apply(turn, left, right, u, v, target):
        return matmul(matmul(u, turn) + left, matmul(v.T, target)) + matmul(u, matmul(right, target))

    y_tangent = apply(turn, left, right, u, v, y) + matmul(u, matmul(v.T, dy))
    x_tangent = apply(turn.T, right.T, left.T, v, u, x) + matmul(v, matmul(u.T, dx))
    return y_tangent, x_tangent
