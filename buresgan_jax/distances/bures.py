"""Distances between covariance matrices, and between the covariances of two batches of features.

Notation: `cov_x`, `cov_y` are symmetric positive semidefinite `[..., dim, dim]`; `x`, `y` are batches of feature
vectors `[..., n, dim]` and `[..., m, dim]`, one example per row. Leading axes broadcast. Every squared distance has
"squared" in its name. All functions are pure, jitted, differentiable in every array, and work in float32 and float64;
float16 and bfloat16 arrays are computed in float32, and their results and gradients have the arrays' dtype.

Methods of the Bures distance (measured in docs/bures.md):

| `method` | from covariances | from features |
|---|---|---|
| `"eigh"` | default: roots by `eigh`, alignment by SVD | for training: `eigh` of the squared cross matrix |
| `"svd"` | roots by `eigh`, nuclear norm of their product | default: alignment by SVD of the cross matrix |
| `"newton_schulz"` | roots and alignment by matrix products | alignment by matrix products |
| `"newton_schulz_15"` | the authors' 15 steps, too large if the spectrum decays | the same |
| `"auto"` | `"eigh"` on a CPU, `"newton_schulz"` elsewhere | `"svd"` on a CPU, `"newton_schulz"` elsewhere |

A batch of features is already a root of its covariance, so distances from features take no root: there `"svd"` is the
accurate method, and `"eigh"` trades accuracy for speed.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from buresgan_jax.distances import alignment, checks, geometry, linalg, newton_schulz
from buresgan_jax.distances.linalg import matmul
from buresgan_jax.distances.methods import METHODS, Method, by_platform
from buresgan_jax.distances.public import Array, jit


@jit
def squared_bures_distance(cov_x: Array, cov_y: Array, *, method: Method = "eigh") -> jax.Array:
    r"""Computes the squared Bures distance between two positive semidefinite matrices.

    This is :math:`\mathrm{tr} A + \mathrm{tr} B - 2\,\mathrm{tr}(A^{1/2} B A^{1/2})^{1/2}`, the squared 2-Wasserstein
    distance between centered Gaussians with covariances A and B. It is computed as the Procrustes residual
    :math:`\min_Q \|A^{1/2} - Q B^{1/2}\|_F^2` over orthogonal Q, which is never negative and does not cancel at A = B.

    Args:
        cov_x: Matrix A, symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: Matrix B, same dim and dtype. Leading axes broadcast (pairs); for all pairs of two stacks see
            `pairwise_squared_bures_distance`.
        method: `"eigh"` is the accurate one. `"svd"` needs no singular vectors for the value, which is off by up to eps
            times the traces if A and B are similar. `"newton_schulz"` uses matrix products only; roots of eigenvalues
            below eps of the largest are not resolved. `"newton_schulz_15"` is the authors' truncated iteration, for
            reproduction; it is an upper bound. `"auto"` chooses by platform and size. See the table at the top of this
            module.

    Returns:
        Shape `[...]`, same dtype, in squared units of the features. At least 0, except with `"newton_schulz_15"`.

    Raises:
        ValueError: The matrices are not square, their dims differ, or the method is unknown.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Symmetry, definiteness and finiteness are not checked (see `validate.covariances`): the symmetric part is used,
        and negative eigenvalues count as zero.

        The gradient in A is :math:`I - T`, T the optimal transport map. For singular A the true one-sided derivative
        can be infinite. Directions in which A is below rounding (`4 sqrt(dim) eps * largest`) get no gradient, so the
        gradient is finite, and correct along matrices of the same rank. (With `"newton_schulz"` it is finite too, but
        those directions get a gradient of up to 1 / sqrt(eps).) It is exact at repeated eigenvalues.

        Twice differentiable in forward and reverse mode. Second derivatives are correct for regular matrices; for
        singular ones use features. Derivatives never go through an iteration, except with `"newton_schulz_15"`, which
        is differentiated as its authors do.

        Cost: two `eigh` and one SVD, O(dim^3). For ill-conditioned input in float32 the roots carry an error of up to
        sqrt(eps) of the traces: use float64, or `squared_bures_distance_from_features`, which never squares the
        features. Scaling both matrices by a power of two scales the result by exactly that power.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. Differs from its code in computing the exact root, in any dtype.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)
    of_pair = functools.partial(squared_bures_of_pair, method=method)
    return linalg.over_leading_axes(of_pair, "(d,d),(d,d)->()", cov_x, cov_y)


def squared_bures_of_pair(cov_x, cov_y, method):
    """Computes `squared_bures_distance` of two matrices without checks."""
    if method == "auto":
        return by_platform(squared_bures_of_pair, cov_x.shape[0], "eigh", cov_x, cov_y)
    if method == "newton_schulz_15":
        exponents = linalg.unit_exponent(cov_x), linalg.unit_exponent(cov_y)
        root = linalg.homogeneous(lambda x, y: authors_fidelity(matmul(x, y)), (0.5, 0.5), exponents, cov_x, cov_y)
        return jnp.trace(cov_x) + jnp.trace(cov_y) - 2 * root
    if method == "newton_schulz":
        return _squared_bures_by_products(cov_x, cov_y, _find_by_products(cov_x, cov_y))
    return _squared_bures_of_factors((cov_x, _factor(cov_x)), (cov_y, _factor(cov_y)), method)


class _Factor(NamedTuple):
    """A factor `A = 2^exponent rows^T rows` with `rows = diag(roots) basis^T`: the square root up to a rotation.

    It is a constant for derivatives. The rules below account for its change.
    """

    rows: jax.Array
    roots: jax.Array
    basis: jax.Array
    exponent: jax.Array  # each matrix has its own, so that nothing is lost between matrices of very different scales


def _factor(cov):
    exponent = linalg.unit_exponent(cov)
    eigenvalues, basis = jnp.linalg.eigh(jax.lax.stop_gradient(cov) / linalg.power_of_two(exponent, cov.dtype))
    roots = jnp.sqrt(jnp.maximum(eigenvalues, 0))
    return _Factor(roots[:, None] * basis.T, roots, basis, exponent)


def _common_scale(exponent_x, exponent_y, dtype):
    """Returns the larger power of two, and the roots of both relative to it."""
    larger = jnp.maximum(exponent_x, exponent_y)
    root_x, root_y = (linalg.root_of_power_of_two(each - larger, dtype) for each in (exponent_x, exponent_y))
    return linalg.power_of_two(larger, dtype), root_x, root_y


def _squared_bures_of_factors(x, y, method):
    """Computes the squared distance of two pairs (covariance, its factor)."""
    if method == "svd":
        return _nuclear_form(x, y)
    return _residual_form(x, y, alignment.find_rotation(x[1].rows, y[1].rows, "svd"))


@jax.custom_jvp
def _residual_form(x, y, rotation):
    scale, root_x, root_y = _common_scale(x[1].exponent, y[1].exponent, x[1].rows.dtype)
    return scale * jnp.sum((root_x * x[1].rows - root_y * matmul(rotation.u, matmul(rotation.v.T, y[1].rows))) ** 2)


@_residual_form.defjvp
def _residual_form_jvp(primals, tangents):
    x, y, rotation = primals
    return _residual_form(*primals), _tangent(x, y, rotation, tangents[0][0], tangents[1][0])


@jax.custom_jvp
def _nuclear_form(x, y):
    scale, root_x, root_y = _common_scale(x[1].exponent, y[1].exponent, x[1].rows.dtype)
    traces = root_x**2 * jnp.sum(x[1].rows ** 2) + root_y**2 * jnp.sum(y[1].rows ** 2)
    return scale * jnp.maximum(traces - 2 * root_x * root_y * alignment.nuclear_norm(x[1].rows, y[1].rows), 0)


@_nuclear_form.defjvp
def _nuclear_form_jvp(primals, tangents):
    x, y = primals
    rotation = alignment.find_rotation(x[1].rows, y[1].rows, "svd")
    # The vectors are available here, so the residual form costs nothing more.
    return _residual_form(x, y, rotation), _tangent(x, y, rotation, tangents[0][0], tangents[1][0])


def _tangent(x, y, rotation, tangent_x, tangent_y):
    gradient_x, gradient_y = _gradients(x, y, rotation)
    return jnp.sum(gradient_x * tangent_x) + jnp.sum(gradient_y * tangent_y)


@jax.custom_jvp
def _gradients(x, y, rotation):
    """Returns `I - T` in A and in B."""
    (_, factor_x), (_, factor_y) = x, y
    y_aligned, x_aligned = alignment.align(factor_x.rows, factor_y.rows, rotation)
    ratio = factor_y.exponent - factor_x.exponent
    y_aligned = linalg.root_of_power_of_two(ratio, y_aligned.dtype) * y_aligned
    x_aligned = linalg.root_of_power_of_two(-ratio, x_aligned.dtype) * x_aligned
    return _gradient(factor_x, y_aligned), _gradient(factor_y, x_aligned)


def _gradient(factor, aligned):
    """Computes `F^+ (F - Q R)` in the eigenbasis of A, a difference that is small for similar A and B."""
    squares = factor.roots**2
    kept = squares > linalg.rounding_tolerance(squares)
    difference = jnp.diag(factor.roots) - matmul(aligned, factor.basis)
    gradient = linalg.safe_reciprocal(factor.roots, kept)[:, None] * difference
    # The block on the range is in both triangles. The block between range and null space is in one of them only.
    within = kept[:, None] & kept[None, :]
    gradient = jnp.where(within, linalg.symmetric_part(gradient), gradient + gradient.T)
    return matmul(matmul(factor.basis, gradient), factor.basis.T)


@_gradients.defjvp
def _gradients_jvp(primals, tangents):
    arrays = primals[0][0], primals[1][0], tangents[0][0], tangents[1][0]
    there, back = _transport_tangents(*arrays)
    return _gradients(*primals), (-there, -back)


def _transport_tangents(cov_x, cov_y, tangent_x, tangent_y):
    """Returns the tangents of the transport maps from A to B and from B to A."""
    there = geometry.transport_tangent(cov_x, cov_y, tangent_x, tangent_y)
    return there, geometry.transport_tangent(cov_y, cov_x, tangent_y, tangent_x)


def authors_fidelity(product):
    """Computes the fidelity of A and B from `A B`, by the authors' truncated iteration."""
    return jnp.trace(newton_schulz.authors_root(product))


def _find_by_products(cov_x, cov_y):
    """Returns roots and inverse roots of the scaled matrices, their exponents, and the rotation, as constants."""
    exponents = linalg.unit_exponent(cov_x), linalg.unit_exponent(cov_y)
    x, y = (
        newton_schulz.roots(jax.lax.stop_gradient(cov) / linalg.power_of_two(exponent, cov.dtype))
        for cov, exponent in zip((cov_x, cov_y), exponents, strict=True)
    )
    return x, y, exponents, alignment.find_rotation(x[0], y[0], "newton_schulz")


@jax.custom_jvp
def _squared_bures_by_products(cov_x, cov_y, found):
    del cov_x, cov_y
    (root_x, _), (root_y, _), exponents, rotation = found
    scale, scale_x, scale_y = _common_scale(*exponents, root_x.dtype)
    return scale * alignment.residual(scale_x * root_x, scale_y * root_y, rotation)


@_squared_bures_by_products.defjvp
def _squared_bures_by_products_jvp(primals, tangents):
    map_x, map_y = _transport_maps_by_products(*primals)
    tangent = jnp.trace(tangents[0]) - jnp.sum(map_x * tangents[0])
    tangent += jnp.trace(tangents[1]) - jnp.sum(map_y * tangents[1])
    return _squared_bures_by_products(*primals), tangent


@jax.custom_jvp
def _transport_maps_by_products(cov_x, cov_y, found):
    """Returns the transport maps from A to B and from B to A."""
    del cov_x, cov_y
    (root_x, inverse_x), (root_y, inverse_y), (exponent_x, exponent_y), (q,) = found
    cross = matmul(root_x, root_y)
    ratio = exponent_y - exponent_x

    def transport(inverse, product, ratio):  # the product is symmetric up to rounding
        scale = linalg.root_of_power_of_two(ratio, product.dtype)
        return scale * matmul(matmul(inverse, linalg.symmetric_part(product)), inverse)

    return transport(inverse_x, matmul(cross, q.T), ratio), transport(inverse_y, matmul(q.T, cross), -ratio)


@_transport_maps_by_products.defjvp
def _transport_maps_by_products_jvp(primals, tangents):
    return _transport_maps_by_products(*primals), _transport_tangents(*primals[:2], *tangents[:2])


@jit
def bures_distance(cov_x: Array, cov_y: Array, *, method: Method = "eigh") -> jax.Array:
    """Computes the Bures distance between two positive semidefinite matrices, the root of `squared_bures_distance`.

    It is a metric: symmetric, zero only for equal matrices, with the triangle inequality. Its gradient at distance zero
    is not unique; the gradient returned is zero. For a training penalty prefer the square, whose gradient is smooth
    there.

    Args:
        cov_x: Symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: Same dim and dtype as `cov_x`; leading axes broadcast.
        method: See `squared_bures_distance`.

    Returns:
        Shape `[...]`, same dtype, in units of the features. At least 0.

    Raises:
        ValueError: The matrices are not square, their dims differ, or the method is unknown.
        TypeError: A dtype is not floating, or the dtypes differ.
    """
    return linalg.safe_sqrt(squared_bures_distance(cov_x, cov_y, method=method))


@jit
def pairwise_squared_bures_distance(covs_x: Array, covs_y: Array, *, method: Method = "eigh") -> jax.Array:
    """Computes squared Bures distances between all pairs of two stacks, with one root per matrix instead of per pair.

    Args:
        covs_x: Symmetric positive semidefinite, shape `[..., n, dim, dim]`, floating dtype.
        covs_y: Shape `[..., m, dim, dim]`, same dim and dtype; leading axes broadcast.
        method: See `squared_bures_distance`. `"eigh"` and `"svd"` reuse the roots.

    Returns:
        Shape `[..., n, m]`, same dtype.

    Raises:
        ValueError: The arrays are not stacks of square matrices of equal dim, or the method is unknown.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost: n + m `eigh` and n m SVDs. Memory: O(m dim^2) in addition to the input; the result is computed row by row.
    """
    checks.check_covariances(covs_x=covs_x, covs_y=covs_y)
    checks.check_choice("method", method, METHODS)
    if covs_x.ndim < 3 or covs_y.ndim < 3:
        raise ValueError(
            f"covs_x and covs_y must be stacks [..., n, dim, dim], got shapes {covs_x.shape} and {covs_y.shape}."
        )

    def of_stacks(covs_x, covs_y):
        stacks, function = (covs_x, covs_y), squared_bures_of_pair
        if method in ("eigh", "svd"):
            stacks, function = tuple((stack, jax.vmap(_factor)(stack)) for stack in stacks), _squared_bures_of_factors
        one_to_all = jax.vmap(functools.partial(function, method=method), (None, 0))
        return jax.lax.map(lambda one: one_to_all(one, stacks[1]), stacks[0])

    return linalg.over_leading_axes(of_stacks, "(n,d,d),(m,d,d)->(n,m)", covs_x, covs_y)


@jit
def fidelity(cov_x: Array, cov_y: Array, *, method: Method = "eigh") -> jax.Array:
    r"""Computes the fidelity of two positive semidefinite matrices, :math:`\mathrm{tr}(A^{1/2} B A^{1/2})^{1/2}`.

    It is the nuclear norm of :math:`A^{1/2} B^{1/2}`; the squared Bures distance is
    :math:`\mathrm{tr} A + \mathrm{tr} B - 2 F`. It is also called the root fidelity: Jozsa's fidelity is its square.

    Args:
        cov_x: Matrix A, symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: Matrix B, same dim and dtype; leading axes broadcast.
        method: See `squared_bures_distance`. `"eigh"` and `"svd"` are equal here.

    Returns:
        Shape `[...]`, same dtype. Between 0 and the geometric mean of the traces.

    Raises:
        ValueError: The matrices are not square, their dims differ, or the method is unknown.
        TypeError: A dtype is not floating, or the dtypes differ.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)

    def of_pair(cov_x, cov_y, method=method):
        if method == "auto":
            return by_platform(of_pair, cov_x.shape[0], "eigh", cov_x, cov_y)
        exponents = linalg.unit_exponent(cov_x), linalg.unit_exponent(cov_y)
        return linalg.homogeneous(functools.partial(_fidelity, method=method), (0.5, 0.5), exponents, cov_x, cov_y)

    return linalg.over_leading_axes(of_pair, "(d,d),(d,d)->()", cov_x, cov_y)


def _fidelity(cov_x, cov_y, method):
    if method.startswith("newton"):
        return (jnp.trace(cov_x) + jnp.trace(cov_y) - squared_bures_of_pair(cov_x, cov_y, method)) / 2
    return alignment.nuclear_norm(linalg.sqrtm(cov_x), linalg.sqrtm(cov_y))
