"""Distances between covariance matrices, and between the covariances of two batches of features.

Notation: `cov_x`, `cov_y` are symmetric positive semidefinite `[..., dim, dim]`; `x`, `y` are batches of feature
vectors `[..., n, dim]` and `[..., m, dim]`, one example a row. Leading axes broadcast. "squared" is in the name of
every squared distance. Everything is pure, jitted, differentiable in every array, and works in float32 and float64.

Methods of the Bures distance (measured in docs/bures.md):

| `method` | from covariances | from features |
|---|---|---|
| `"eigh"` | default: roots by `eigh`, aligned by an SVD | for training: aligned by `eigh` of the squared cross matrix |
| `"svd"` | roots by `eigh`, nuclear norm of their product | default: aligned by an SVD of the cross matrix |
| `"newton_schulz"` | roots and alignment by matrix products | alignment by matrix products |
| `"newton_schulz_15"` | the authors' 15 steps, too large where the spectrum decays | the same |
| `"auto"` | `"eigh"` on a CPU, `"newton_schulz"` elsewhere | `"svd"` on a CPU, `"newton_schulz"` elsewhere |

Features are roots of their covariance already, so from features no root is taken: there the accurate method is the SVD,
and `"eigh"` trades accuracy for speed.
"""

import functools
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from buresgan_jax import alignment, checks, geometry, linalg, newton_schulz
from buresgan_jax.linalg import matmul

Scale = Literal["mean", "sum"]
Method = Literal["eigh", "svd", "newton_schulz", "newton_schulz_15", "auto"]
METHODS = get_args(Method)
# On GPU and TPU, smaller matrices are not worth the many launches of an iteration.
_SMALLEST_BY_PRODUCTS = 32


def _by_platform(function, size, cpu_method, *arrays):
    """`method="auto"`, chosen when the program is lowered, not by a look at the default backend."""
    on_cpu = functools.partial(function, method=cpu_method)
    if size < _SMALLEST_BY_PRODUCTS:
        return on_cpu(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=functools.partial(function, method="newton_schulz"))


# From covariances


@functools.partial(jax.jit, static_argnames="method")
def squared_bures_distance(cov_x: jax.Array, cov_y: jax.Array, *, method: Method = "eigh") -> jax.Array:
    r"""Squared Bures distance between two positive semidefinite matrices.

    Computes :math:`\mathrm{tr} A + \mathrm{tr} B - 2\,\mathrm{tr}(A^{1/2} B A^{1/2})^{1/2}`, the squared 2-Wasserstein
    distance between centred Gaussians with covariances A and B, as the Procrustes residual
    :math:`\min_Q \|A^{1/2} - Q B^{1/2}\|_F^2` over orthogonal Q, which is never negative and does not cancel at A = B.

    Args:
        cov_x: A, symmetric positive semidefinite, shape `[..., dim, dim]`, float32 or float64.
        cov_y: B, same dim and dtype; leading axes broadcast (pairs); for all pairs of two stacks see
            `pairwise_squared_bures_distance`.
        method: `"eigh"` is the accurate one. `"svd"` needs no singular vectors for the value, which is off by up to eps
            times the traces where A and B are alike. `"newton_schulz"` uses matrix products only; roots of eigenvalues
            below eps of the largest are not resolved. `"newton_schulz_15"` is the authors' truncated iteration, for
            reproduction: an upper bound. `"auto"`: by platform and size. See the head of this module.

    Returns:
        Shape `[...]`, same dtype, in squared units of the features. At least 0, but for `"newton_schulz_15"`.

    Raises:
        ValueError: the matrices are not square, their dims differ, or the method is unknown.
        TypeError: not float32 or float64, or the dtypes differ.

    Note:
        Symmetry, definiteness and finiteness are not checked (see `validate.covariances`): the symmetric part is used,
        negative eigenvalues count as zero. The gradient in A is :math:`I - T`, T the optimal transport map. For
        singular A the true one-sided derivative can be infinite: directions in which A is below rounding
        (`4 sqrt(dim) eps * largest`) get no gradient, so it is finite, and right along matrices of the same rank. (By
        `"newton_schulz"` it is finite too, but those directions get one of up to 1 / sqrt(eps).) Exact at repeated
        eigenvalues; twice differentiable in forward and reverse mode (second derivatives are right for regular
        matrices; for singular ones use features), never through an iteration (but for `"newton_schulz_15"`, which is
        differentiated as its authors do). Cost: two `eigh` and one SVD, O(dim^3). In float32 and ill-conditioned input
        the roots carry an error of up to sqrt(eps) of the traces; from features use
        `squared_bures_distance_from_features`, which never squares them, or float64. Scaling both matrices by a power
        of two scales the result by exactly that.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. Differs from its code in computing the exact root, in any dtype.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)
    of_pair = functools.partial(_squared_bures_of_pair, method=method)
    return linalg.over_leading_axes(of_pair, "(d,d),(d,d)->()", cov_x, cov_y)


def _squared_bures_of_pair(cov_x, cov_y, method):
    if method == "auto":
        return _by_platform(_squared_bures_of_pair, cov_x.shape[0], "eigh", cov_x, cov_y)
    scale = linalg.unit_scale(cov_x, cov_y)
    cov_x, cov_y = cov_x / scale, cov_y / scale
    if method == "newton_schulz_15":
        return scale * _authors_form(jnp.trace(cov_x) + jnp.trace(cov_y), matmul(cov_x, cov_y))
    if method == "newton_schulz":
        return scale * _squared_bures_by_products(cov_x, cov_y, _find_by_products(cov_x, cov_y))
    return scale * _squared_bures_of_factors((cov_x, _factor(cov_x)), (cov_y, _factor(cov_y)), method)


class _Factor(NamedTuple):
    """`A = rows^T rows` with `rows = diag(roots) basis^T`: up to a rotation, the square root.

    A constant for derivatives: the rules below account for it.
    """

    rows: jax.Array
    roots: jax.Array
    basis: jax.Array


def _factor(cov):
    eigenvalues, basis = jnp.linalg.eigh(jax.lax.stop_gradient(cov))
    roots = jnp.sqrt(jnp.maximum(eigenvalues, 0))
    return _Factor(roots[:, None] * basis.T, roots, basis)


def _squared_bures_of_factors(x, y, method):
    """Of two pairs (covariance, its factor)."""
    if method == "svd":
        return _nuclear_form(x, y)
    return _residual_form(x, y, alignment.find_rotation(x[1].rows, y[1].rows, "svd"))


@jax.custom_jvp
def _residual_form(x, y, rotation):
    return jnp.sum((x[1].rows - matmul(rotation.u, matmul(rotation.v.T, y[1].rows))) ** 2)


@_residual_form.defjvp
def _residual_form_jvp(primals, tangents):
    x, y, rotation = primals
    return _residual_form(*primals), _tangent(x, y, rotation, tangents[0][0], tangents[1][0])


@jax.custom_jvp
def _nuclear_form(x, y):
    traces = jnp.sum(x[1].rows ** 2) + jnp.sum(y[1].rows ** 2)
    return jnp.maximum(traces - 2 * alignment.nuclear_norm(x[1].rows, y[1].rows), 0)


@_nuclear_form.defjvp
def _nuclear_form_jvp(primals, tangents):
    x, y = primals
    rotation = alignment.find_rotation(x[1].rows, y[1].rows, "svd")
    # With the vectors at hand the residual form costs nothing more.
    return _residual_form(x, y, rotation), _tangent(x, y, rotation, tangents[0][0], tangents[1][0])


def _tangent(x, y, rotation, tangent_x, tangent_y):
    gradient_x, gradient_y = _gradients(x, y, rotation)
    return jnp.sum(gradient_x * tangent_x) + jnp.sum(gradient_y * tangent_y)


@jax.custom_jvp
def _gradients(x, y, rotation):
    """`I - T` in A and in B."""
    (_, factor_x), (_, factor_y) = x, y
    y_aligned, x_aligned = alignment.align(factor_x.rows, factor_y.rows, rotation)
    return _gradient(factor_x, y_aligned), _gradient(factor_y, x_aligned)


def _gradient(factor, aligned):
    """`F^+ (F - Q R)` in the eigenbasis of A: a difference that is small where A and B are alike."""
    squares = factor.roots**2
    kept = squares > linalg.rounding_tolerance(squares)
    difference = jnp.diag(factor.roots) - matmul(aligned, factor.basis)
    gradient = linalg.safe_reciprocal(factor.roots, kept)[:, None] * difference
    # Both triangles hold the block on the range; that between range and null space is in one of them only.
    within = kept[:, None] & kept[None, :]
    gradient = jnp.where(within, linalg.symmetric_part(gradient), gradient + gradient.T)
    return matmul(matmul(factor.basis, gradient), factor.basis.T)


@_gradients.defjvp
def _gradients_jvp(primals, tangents):
    arrays = primals[0][0], primals[1][0], tangents[0][0], tangents[1][0]
    there, back = _transport_tangents(*arrays)
    return _gradients(*primals), (-there, -back)


def _transport_tangents(cov_x, cov_y, tangent_x, tangent_y):
    """Of the transport maps from A to B and from B to A."""
    there = geometry.transport_tangent(cov_x, cov_y, tangent_x, tangent_y)
    return there, geometry.transport_tangent(cov_y, cov_x, tangent_y, tangent_x)


def _authors_form(traces, product):
    return traces - 2 * jnp.trace(newton_schulz.authors_root(product))


def _find_by_products(cov_x, cov_y):
    """Roots, inverse roots and rotation, constants for derivatives."""
    cov_x, cov_y = jax.lax.stop_gradient((cov_x, cov_y))
    x, y = newton_schulz.roots(cov_x), newton_schulz.roots(cov_y)
    return x, y, alignment.find_rotation(x[0], y[0], "newton_schulz")


@jax.custom_jvp
def _squared_bures_by_products(cov_x, cov_y, found):
    del cov_x, cov_y
    (root_x, _), (root_y, _), rotation = found
    return alignment.residual(root_x, root_y, rotation)


@_squared_bures_by_products.defjvp
def _squared_bures_by_products_jvp(primals, tangents):
    map_x, map_y = _transport_maps_by_products(*primals)
    tangent = jnp.trace(tangents[0]) - jnp.sum(map_x * tangents[0])
    tangent += jnp.trace(tangents[1]) - jnp.sum(map_y * tangents[1])
    return _squared_bures_by_products(*primals), tangent


@jax.custom_jvp
def _transport_maps_by_products(cov_x, cov_y, found):
    """From A to B and from B to A."""
    del cov_x, cov_y
    (root_x, inverse_x), (root_y, inverse_y), (q,) = found
    cross = matmul(root_x, root_y)

    def transport(inverse, product):  # the product is symmetric but for rounding
        return matmul(matmul(inverse, linalg.symmetric_part(product)), inverse)

    return transport(inverse_x, matmul(cross, q.T)), transport(inverse_y, matmul(q.T, cross))


@_transport_maps_by_products.defjvp
def _transport_maps_by_products_jvp(primals, tangents):
    return _transport_maps_by_products(*primals), _transport_tangents(*primals[:2], *tangents[:2])


@functools.partial(jax.jit, static_argnames="method")
def bures_distance(cov_x: jax.Array, cov_y: jax.Array, *, method: Method = "eigh") -> jax.Array:
    """Bures distance between two positive semidefinite matrices: the root of `squared_bures_distance`.

    A metric: symmetric, zero only for equal matrices, with the triangle inequality. Its gradient at distance zero is
    not unique; the one returned is zero. As a training penalty prefer the square, whose gradient is smooth there.

    Args:
        cov_x: symmetric positive semidefinite, shape `[..., dim, dim]`, float32 or float64.
        cov_y: same dim and dtype as `cov_x`; leading axes broadcast.
        method: see `squared_bures_distance`.

    Returns:
        Shape `[...]`, same dtype, in units of the features. At least 0.

    Raises:
        ValueError: the matrices are not square, their dims differ, or the method is unknown.
        TypeError: not float32 or float64, or the dtypes differ.
    """
    return linalg.safe_sqrt(squared_bures_distance(cov_x, cov_y, method=method))


@functools.partial(jax.jit, static_argnames="method")
def pairwise_squared_bures_distance(covs_x: jax.Array, covs_y: jax.Array, *, method: Method = "eigh") -> jax.Array:
    """Squared Bures distances between all pairs of two stacks, with one root per matrix instead of one per pair.

    Args:
        covs_x: symmetric positive semidefinite, shape `[..., n, dim, dim]`, float32 or float64.
        covs_y: shape `[..., m, dim, dim]`, same dim and dtype; leading axes broadcast.
        method: see `squared_bures_distance`; `"eigh"` and `"svd"` share the roots.

    Returns:
        Shape `[..., n, m]`, same dtype.

    Raises:
        ValueError: not stacks of square matrices of one dim, or the method is unknown.
        TypeError: not float32 or float64, or the dtypes differ.

    Note:
        Cost: n + m `eigh` and n m SVDs; memory O(m dim^2) beside the input, one row of the result after the other.
    """
    checks.check_covariances(covs_x=covs_x, covs_y=covs_y)
    checks.check_choice("method", method, METHODS)
    if covs_x.ndim < 3 or covs_y.ndim < 3:
        raise ValueError(
            f"covs_x and covs_y must be stacks [..., n, dim, dim], got shapes {covs_x.shape} and {covs_y.shape}."
        )

    def of_stacks(covs_x, covs_y):
        scale = linalg.unit_scale(covs_x, covs_y)
        stacks, function = (covs_x / scale, covs_y / scale), _squared_bures_of_pair
        if method in ("eigh", "svd"):
            stacks, function = tuple((stack, jax.vmap(_factor)(stack)) for stack in stacks), _squared_bures_of_factors
        one_to_all = jax.vmap(functools.partial(function, method=method), (None, 0))
        return scale * jax.lax.map(lambda one: one_to_all(one, stacks[1]), stacks[0])

    return linalg.over_leading_axes(of_stacks, "(n,d,d),(m,d,d)->(n,m)", covs_x, covs_y)


@jax.jit
def squared_bures_distance_of_diagonals(variances_x: jax.Array, variances_y: jax.Array) -> jax.Array:
    """Squared Bures distance between diagonal matrices, the squared difference of the standard deviations.

    Args:
        variances_x: diagonal entries, at least 0, shape `[..., dim]`, float32 or float64.
        variances_y: same dim and dtype; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype. Cost O(dim). A variance of 0 gives no gradient, where the true one is infinite.

    Raises:
        ValueError: dims differ.
        TypeError: not float32 or float64, or the dtypes differ.
    """
    checks.check_same_dtype(variances_x=variances_x, variances_y=variances_y)
    for name, array in (("variances_x", variances_x), ("variances_y", variances_y)):
        checks.check_last_axis(name, array, variances_y.shape[-1] if variances_y.ndim else 1, "the diagonal")

    def of_pair(variances_x, variances_y):
        return jnp.sum((linalg.safe_sqrt(variances_x) - linalg.safe_sqrt(variances_y)) ** 2)

    return linalg.over_leading_axes(of_pair, "(d),(d)->()", variances_x, variances_y)


@jax.jit
def squared_bures_distance_low_rank(
    factor_x: jax.Array, diagonal_x: jax.Array, factor_y: jax.Array, diagonal_y: jax.Array
) -> jax.Array:
    r"""Squared Bures distance between matrices of the form low rank plus diagonal.

    Between :math:`A = F^T F + \mathrm{diag}(a)` and :math:`B = R^T R + \mathrm{diag}(b)`. Where both diagonals are
    multiples of the identity it works in the span of the rows of F and R, and no `[dim, dim]` matrix is formed.

    Args:
        factor_x: F, shape `[..., k, dim]`, float32 or float64.
        diagonal_x: a, at least 0, shape `[..., dim]`, or `[..., 1]` for a multiple of the identity.
        factor_y: R, shape `[..., l, dim]`.
        diagonal_y: b, like `diagonal_x`.

    Returns:
        Shape `[...]`, same dtype.

    Raises:
        ValueError: shapes do not fit.
        TypeError: not float32 or float64, or the dtypes differ.

    Note:
        Cost O((k + l)^2 dim + (k + l)^3) where both diagonals have one entry and k + l < dim, O(dim^3) otherwise.
        Precision as `squared_bures_distance`. Twice differentiable.
    """
    checks.check_features(factor_x=factor_x, factor_y=factor_y)
    checks.check_same_dtype(factor_x=factor_x, diagonal_x=diagonal_x, diagonal_y=diagonal_y)
    dim = factor_x.shape[-1]
    for name, diagonal in (("diagonal_x", diagonal_x), ("diagonal_y", diagonal_y)):
        if diagonal.ndim < 1 or diagonal.shape[-1] not in (1, dim):
            raise ValueError(f"{name} must have shape [..., {dim}] or [..., 1], got shape {diagonal.shape}.")
    isotropic = diagonal_x.shape[-1] == diagonal_y.shape[-1] == 1
    reduced = isotropic and factor_x.shape[-2] + factor_y.shape[-2] < dim
    of_pair = _low_rank_in_span if reduced else _low_rank_dense
    signature = "(k,d),(a),(l,d),(b)->()"
    return linalg.over_leading_axes(of_pair, signature, factor_x, diagonal_x, factor_y, diagonal_y)


def _low_rank_dense(factor_x, diagonal_x, factor_y, diagonal_y):
    def matrix(factor, diagonal):
        return matmul(factor.T, factor) + jnp.diag(jnp.broadcast_to(diagonal, factor.shape[1:]))

    return _squared_bures_of_pair(matrix(factor_x, diagonal_x), matrix(factor_y, diagonal_y), "eigh")


def _low_rank_in_span(factor_x, diagonal_x, factor_y, diagonal_y):
    both = jnp.concatenate([factor_x, factor_y])
    # In the orthonormal basis C^T K^(-1/2) of their span, K = C C^T, the rows of C have the coordinates K^(1/2).
    coordinates = linalg.sqrtm(matmul(both, both.T))
    rows = factor_x.shape[0]
    inside = _low_rank_dense(coordinates[:rows], diagonal_x, coordinates[rows:], diagonal_y)
    gap = linalg.safe_sqrt(diagonal_x[0]) - linalg.safe_sqrt(diagonal_y[0])
    return inside + (both.shape[1] - both.shape[0]) * gap**2


@functools.partial(jax.jit, static_argnames="method")
def fidelity(cov_x: jax.Array, cov_y: jax.Array, *, method: Method = "eigh") -> jax.Array:
    r"""Fidelity of two positive semidefinite matrices, :math:`\mathrm{tr}(A^{1/2} B A^{1/2})^{1/2}`.

    The nuclear norm of :math:`A^{1/2} B^{1/2}`; the squared Bures distance is
    :math:`\mathrm{tr} A + \mathrm{tr} B - 2 F`. Some call it the root fidelity: Jozsa's fidelity is its square.

    Args:
        cov_x: A, symmetric positive semidefinite, shape `[..., dim, dim]`, float32 or float64.
        cov_y: B, same dim and dtype; leading axes broadcast.
        method: see `squared_bures_distance`; `"eigh"` and `"svd"` are the same here.

    Returns:
        Shape `[...]`, same dtype. Between 0 and the geometric mean of the traces.

    Raises:
        ValueError: the matrices are not square, their dims differ, or the method is unknown.
        TypeError: not float32 or float64, or the dtypes differ.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)

    def of_pair(cov_x, cov_y, method=method):
        if method == "auto":
            return _by_platform(of_pair, cov_x.shape[0], "eigh", cov_x, cov_y)
        if method.startswith("newton"):
            squared = _squared_bures_of_pair(cov_x, cov_y, method)
            return (jnp.trace(cov_x) + jnp.trace(cov_y) - squared) / 2
        scale = linalg.unit_scale(cov_x, cov_y)
        return scale * alignment.nuclear_norm(linalg.sqrtm(cov_x / scale), linalg.sqrtm(cov_y / scale))

    return linalg.over_leading_axes(of_pair, "(d,d),(d,d)->()", cov_x, cov_y)


# Between Gaussians


@functools.partial(jax.jit, static_argnames="method")
def squared_bures_wasserstein_distance(
    mean_x: jax.Array, cov_x: jax.Array, mean_y: jax.Array, cov_y: jax.Array, *, method: Method = "eigh"
) -> jax.Array:
    r"""Squared 2-Wasserstein distance between Gaussians: :math:`\|\mu - \nu\|^2 + B^2(A, B)`.

    Also called Frechet distance; with the features of Inception-v3 it is the Frechet inception distance.

    Args:
        mean_x: shape `[..., dim]`, float32 or float64.
        cov_x: symmetric positive semidefinite, shape `[..., dim, dim]`.
        mean_y: shape `[..., dim]`.
        cov_y: shape `[..., dim, dim]`; leading axes of all four broadcast.
        method: see `squared_bures_distance`.

    Returns:
        Shape `[...]`, same dtype, in squared units of the features. At least 0.

    Raises:
        ValueError: shapes do not fit, or the method is unknown.
        TypeError: not float32 or float64, or the dtypes differ.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    checks.check_choice("method", method, METHODS)
    for name, mean in (("mean_x", mean_x), ("mean_y", mean_y)):
        checks.check_last_axis(name, mean, cov_x.shape[-1], "a mean of the Gaussian with that covariance")
    checks.check_same_dtype(mean_x=mean_x, cov_x=cov_x, mean_y=mean_y)

    def of_pair(mean_x, cov_x, mean_y, cov_y):
        return jnp.sum((mean_x - mean_y) ** 2) + _squared_bures_of_pair(cov_x, cov_y, method)

    return linalg.over_leading_axes(of_pair, "(d),(d,d),(d),(d,d)->()", mean_x, cov_x, mean_y, cov_y)


@functools.partial(jax.jit, static_argnames="method")
def bures_wasserstein_distance(
    mean_x: jax.Array, cov_x: jax.Array, mean_y: jax.Array, cov_y: jax.Array, *, method: Method = "eigh"
) -> jax.Array:
    """2-Wasserstein distance between Gaussians; the gradient at distance zero is zero. See the squared form."""
    return linalg.safe_sqrt(squared_bures_wasserstein_distance(mean_x, cov_x, mean_y, cov_y, method=method))


# From features


def prepare_features(
    features: jax.Array,
    weights: jax.Array | None = None,
    *,
    centre: bool = True,
    normalise: bool = False,
    scale: Scale,
) -> jax.Array:
    """Centres, row-normalises, weights and scales a batch, so that `F^T F` is the wanted second-moment matrix.

    Args:
        features: `[..., n, dim]`, float32 or float64.
        weights: of the examples, at least 0, `[..., n]`. Default: all one.
        centre: subtract the (weighted) mean of the batch.
        normalise: afterwards divide each row by its length, with a floor of 1e-6 on the length: a row of zeros stays
            zero, with a finite gradient.
        scale: `"mean"` divides the second moments by the sum of the weights (n without), `"sum"` leaves the sum.

    Returns:
        Same shape and dtype.
    """
    checks.check_choice("scale", scale, get_args(Scale))
    n = features.shape[-2]
    if weights is not None:
        total = jnp.sum(weights, axis=-1)[..., None, None]
        total = jnp.where(total > 0, total, 1)
        weights = weights[..., None]
    if centre and weights is None:
        features = features - jnp.mean(features, axis=-2, keepdims=True)
    elif centre:
        features = features - jnp.sum(weights * features, axis=-2, keepdims=True) / total
    if normalise:
        squared_norms = jnp.sum(features**2, axis=-1, keepdims=True)
        features = features * jax.lax.rsqrt(jnp.maximum(squared_norms, 1e-12))
    if weights is None:
        return features / jnp.sqrt(n).astype(features.dtype) if scale == "mean" else features
    return features * linalg.safe_sqrt(weights / total if scale == "mean" else weights)


def _prepare_pair(x, y, weights_x=None, weights_y=None, **options):
    checks.check_features(x=x, y=y)
    for name, weights, batch in (("weights_x", weights_x, x), ("weights_y", weights_y, y)):
        if weights is not None:
            checks.check_last_axis(name, weights, batch.shape[-2], "one for each row")
            checks.check_same_dtype(x=x, **{name: weights})
    x, weights_x = _same_rank(x, weights_x)
    y, weights_y = _same_rank(y, weights_y)
    return prepare_features(x, weights_x, **options), prepare_features(y, weights_y, **options)


def _same_rank(batch, weights):
    """Leading axes of both of equal number, as implicit rank promotion may be forbidden."""
    if weights is None:
        return batch, None
    rank = max(batch.ndim - 2, weights.ndim - 1)
    batch = batch.reshape((1,) * (rank + 2 - batch.ndim) + batch.shape)
    return batch, weights.reshape((1,) * (rank + 1 - weights.ndim) + weights.shape)


_FEATURE_OPTIONS = ("centre", "normalise", "scale", "method", "rtol")


@functools.partial(jax.jit, static_argnames=_FEATURE_OPTIONS)
def squared_bures_distance_from_features(
    x: jax.Array,
    y: jax.Array,
    weights_x: jax.Array | None = None,
    weights_y: jax.Array | None = None,
    *,
    centre: bool = True,
    normalise: bool = False,
    scale: Scale = "mean",
    method: Method = "svd",
    rtol: float | None = None,
) -> jax.Array:
    r"""Squared Bures distance between the covariances of two batches of features.

    With the prepared batches F and R it is :math:`\|F\|_F^2 + \|R\|_F^2 - 2 \|F R^T\|_*` (nuclear norm), evaluated as
    the Procrustes residual :math:`\min_Q \|F - Q R\|_F^2`, by one
    decomposition in the smaller of batch and feature space.

    Args:
        x: features of one batch, shape `[..., n, dim]`, float32 or float64.
        y: features of the other, shape `[..., m, dim]`; n and m may differ, leading axes broadcast.
        weights_x: of the rows of x, at least 0, shape `[..., n]`, same dtype. Default: all one. A weight of exactly 0
            gets no gradient through its row, where the true one is finite: start from small positive weights.
        weights_y: of the rows of y, shape `[..., m]`.
        centre: subtract each batch's own (weighted) mean (a covariance); False gives uncentred second moments.
        normalise: divide each (centred) row by its length, as BuresGAN does. Lengths below 1e-6 are divided by 1e-6.
        scale: `"mean"` compares covariances divided by the sum of the weights (n and m without); `"sum"` the sums of
            outer products (the authors').
        method: `"svd"` never squares the features: accurate to 2e-7 of the traces in float32. `"eigh"` works on the
            eigenvalues of the squared cross matrix, for training: about half the time, singular values of `F R^T`
            below `rtol` are lost (an error of up to `2 k rtol` times the largest of them). `"newton_schulz"` uses
            matrix products (and a QR where a batch has more rows than dim), for GPU and TPU.
            `"newton_schulz_15"` is the authors' truncated iteration. `"auto"`: by platform and size.
        rtol: singular values of `F R^T` below `rtol` times the largest give no gradient (a valid subgradient). Default:
            4 sqrt(min(n, m, dim)) eps of the dtype for `"svd"`, 3 * sqrt(eps) for `"eigh"` (1e-3 in float32).

    Returns:
        Shape `[...]`, same dtype. At least 0, but for `"newton_schulz_15"`. Squared units of the features, times the
        batch size for `scale="sum"`.

    Raises:
        ValueError: fewer than two axes, an empty batch, feature dims that differ, an unknown scale or method.
        TypeError: not float32 or float64, or the dtypes differ.

    Note:
        Cost O(k^3 + (n + m) dim k) with k = min(n, m, dim). The gradient is `2 (F - Q R)`, bounded everywhere; a batch
        whose rows are all equal has a finite value and gradient. Twice differentiable, but for `"newton_schulz_15"`
        never through an iteration.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. The authors' loss is `centre=True, normalise=True, scale="sum"`.
    """
    x, y = _prepare_pair(x, y, weights_x, weights_y, centre=centre, normalise=normalise, scale=scale)
    checks.check_choice("method", method, METHODS)
    of_rows = functools.partial(_squared_bures_of_rows, method=method, rtol=rtol)
    return linalg.over_leading_axes(of_rows, "(n,d),(m,d)->()", x, y)


def _squared_bures_of_rows(x, y, method, rtol):
    if method == "auto":
        size = min(*x.shape, y.shape[0])
        return _by_platform(functools.partial(_squared_bures_of_rows, rtol=rtol), size, "svd", x, y)
    scale = linalg.unit_scale(x, y)
    x, y = x / scale, y / scale
    if method == "newton_schulz_15":
        traces = jnp.sum(x**2) + jnp.sum(y**2)
        if x.shape[1] < min(x.shape[0], y.shape[0]):
            return scale**2 * _authors_form(traces, matmul(matmul(x.T, x), matmul(y.T, y)))
        cross = matmul(x, y.T)
        return scale**2 * _authors_form(traces, matmul(cross, cross.T))
    return scale**2 * alignment.residual(x, y, alignment.find_rotation(x, y, method, rtol))


@functools.partial(jax.jit, static_argnames=_FEATURE_OPTIONS)
def bures_distance_from_features(
    x: jax.Array,
    y: jax.Array,
    weights_x: jax.Array | None = None,
    weights_y: jax.Array | None = None,
    *,
    centre: bool = True,
    normalise: bool = False,
    scale: Scale = "mean",
    method: Method = "svd",
    rtol: float | None = None,
) -> jax.Array:
    """Bures distance between the covariances of two batches of features; the gradient at distance zero is zero.

    Arguments, errors and cost as in `squared_bures_distance_from_features`, of which it is the root.
    """
    options = {"centre": centre, "normalise": normalise, "scale": scale, "method": method, "rtol": rtol}
    return linalg.safe_sqrt(squared_bures_distance_from_features(x, y, weights_x, weights_y, **options))


# Frobenius


@jax.jit
def squared_frobenius_distance(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    """Squared Frobenius distance between two matrices, the sum of squared differences of their entries.

    Args:
        cov_x: shape `[..., dim, dim]`, float32 or float64.
        cov_y: same dim and dtype as `cov_x`; leading axes broadcast.

    Returns:
        Shape `[...]`, same dtype, in fourth powers of the units of the features.

    Raises:
        ValueError: the matrices are not square, or their dims differ.
        TypeError: not float32 or float64, or the dtypes differ.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    return linalg.over_leading_axes(lambda a, b: jnp.sum((a - b) ** 2), "(d,d),(d,d)->()", cov_x, cov_y)


@jax.jit
def frobenius_distance(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    """Frobenius distance between two matrices; the gradient at zero distance is zero. See the squared form."""
    return linalg.safe_sqrt(squared_frobenius_distance(cov_x, cov_y))


@functools.partial(jax.jit, static_argnames=("centre", "normalise", "scale"))
def squared_frobenius_distance_from_features(
    x: jax.Array, y: jax.Array, *, centre: bool = True, normalise: bool = False, scale: Scale = "mean"
) -> jax.Array:
    r"""Squared Frobenius distance between the covariances of two batches of features.

    Where dim exceeds a batch it uses
    :math:`\|F^T F - R^T R\|^2 = \|F F^T\|^2 + \|R R^T\|^2 - 2 \|F R^T\|^2`, so that no `[dim, dim]` matrix is formed.

    Args:
        x: features of one batch, shape `[..., n, dim]`, float32 or float64.
        y: features of the other, shape `[..., m, dim]`; n and m may differ, leading axes broadcast.
        centre: see `squared_bures_distance_from_features`.
        normalise: see `squared_bures_distance_from_features`.
        scale: see `squared_bures_distance_from_features`.

    Returns:
        Shape `[...]`, same dtype. At least 0. In the batch-space form equal inputs give zero only up to rounding (eps
        times the squared norms).

    Raises:
        ValueError: fewer than two axes, an empty batch, feature dims that differ, an unknown scale.
        TypeError: not float32 or float64, or the dtypes differ.

    Note:
        Cost O((n + m) dim min(dim, n + m)).
    """
    x, y = _prepare_pair(x, y, centre=centre, normalise=normalise, scale=scale)
    return linalg.over_leading_axes(_frobenius_of_rows, "(n,d),(m,d)->()", x, y)


def _frobenius_of_rows(x, y):
    if x.shape[1] <= max(x.shape[0], y.shape[0]):
        return jnp.sum((linalg.matmul(x.T, x) - linalg.matmul(y.T, y)) ** 2)
    own = jnp.sum(linalg.matmul(x, x.T) ** 2) + jnp.sum(linalg.matmul(y, y.T) ** 2)
    return jnp.maximum(own - 2 * jnp.sum(linalg.matmul(x, y.T) ** 2), 0)
