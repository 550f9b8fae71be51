"""Bures-Wasserstein geometry of covariance matrices: transport map, geodesic, barycenter.

Notation: A, B are symmetric positive semidefinite `[dim, dim]`, the covariances of centered Gaussians. Everything is
computed from square roots and the rotation that aligns them, so singular matrices are always allowed.

References:
    Bhatia, Jain, Lim, "On the Bures-Wasserstein distance between positive definite matrices", 2019.
    https://arxiv.org/abs/1712.01504
    Alvarez-Esteban, del Barrio, Cuesta-Albertos, Matran, "A fixed-point approach to barycenters in Wasserstein space",
    2016. https://arxiv.org/abs/1511.05355
"""

import functools

import jax
import jax.numpy as jnp

from buresgan_jax.distances import alignment, checks, linalg
from buresgan_jax.distances.linalg import matmul
from buresgan_jax.distances.public import Array, jit


def _align_roots(x, y):
    """Returns `Q Y` for two roots, Q the polar factor of `X Y^T`."""
    return alignment.align(x, y, alignment.find_rotation(x, y, "svd"))[0]


def transport_map_of_pair(cov_x: jax.Array, cov_y: jax.Array) -> jax.Array:
    """Computes `bures_transport_map` of one pair without checks."""
    exponents = linalg.unit_exponent(cov_x), linalg.unit_exponent(cov_y)
    return linalg.homogeneous(_transport_map_of_scaled, (-0.5, 0.5), exponents, cov_x, cov_y)


def _transport_map_of_scaled(cov_x, cov_y):
    return _transport_map(cov_x, cov_y, _find_rotation(cov_x, cov_y))


def _find_rotation(cov_x, cov_y):
    """Finds the rotation that aligns the roots. It is a constant for derivatives."""
    roots = linalg.sqrtm(jax.lax.stop_gradient(cov_x)), linalg.sqrtm(jax.lax.stop_gradient(cov_y))
    return alignment.find_rotation(*roots, "svd")


@jax.custom_jvp
def _transport_map(cov_x, cov_y, rotation):
    root, inverse = linalg.sqrtm(cov_x), linalg.inv_sqrtm(cov_x)
    aligned = alignment.align(root, linalg.sqrtm(cov_y), rotation)[0]
    # The map is not determined outside of the range of A. It is set to zero there.
    transport = matmul(matmul(matmul(inverse, root), aligned.T), inverse)
    return linalg.symmetric_part(transport)


@_transport_map.defjvp
def _transport_map_jvp(primals, tangents):
    return _transport_map(*primals), _transport_tangent(*primals, *tangents[:2])


def transport_tangent(cov_x, cov_y, tangent_x, tangent_y):
    """Computes the change of the transport map from A to B, linear in the changes of A and B."""
    return jax.jvp(transport_map_of_pair, (cov_x, cov_y), (tangent_x, tangent_y))[1]


def _transport_tangent(cov_x, cov_y, rotation, tangent_x, tangent_y):
    # From T A T = B: with P = A^(1/2) T A^(1/2) and Z = A^(1/2) dT A^(1/2), Z P + P Z = A^(1/2) (dB - T dA T) A^(1/2).
    # Every part of it has its own derivative rule, so derivatives of all orders are correct.
    transport = _transport_map(cov_x, cov_y, rotation)
    root, inverse = linalg.sqrtm(cov_x), linalg.inv_sqrtm(cov_x)
    change = linalg.symmetric_part(tangent_y - matmul(matmul(transport, tangent_x), transport))
    middle = matmul(matmul(root, transport), root)
    right = matmul(matmul(root, change), root)
    roots = rotation.s * rotation.keep
    tolerance = linalg.rounding_tolerance(roots)  # these are singular values, not roots of eigenvalues
    solved = linalg.solve_sylvester(middle, rotation.u, roots, right, tolerance=tolerance)
    return matmul(matmul(inverse, solved), inverse)


@jit
def bures_transport_map(cov_x: Array, cov_y: Array) -> jax.Array:
    r"""Computes the linear map that transports one centered Gaussian to another at the lowest cost.

    The map is symmetric positive semidefinite: :math:`T = A^{-1/2} (A^{1/2} B A^{1/2})^{1/2} A^{-1/2}`, with
    :math:`T A T = B`.

    Args:
        cov_x: Matrix A, symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: Matrix B, same dim and dtype; leading axes broadcast.

    Returns:
        T, shape `[..., dim, dim]`. The gradient of the squared Bures distance in A is I - T.

    Raises:
        ValueError: The matrices are not square, or their dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        For singular A the pseudo-inverse replaces the inverse: T is zero on the null space of A, and `T A T = B` holds
        if B is zero there too. The relative error grows like eps times the condition number of A. Cost: two `eigh` and
        one SVD. Differentiable to any order in forward and reverse mode if A is regular.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    return linalg.over_leading_axes(transport_map_of_pair, "(d,d),(d,d)->(d,d)", cov_x, cov_y)


@jit
def bures_geodesic(cov_x: Array, cov_y: Array, t: Array | float) -> jax.Array:
    r"""Computes points on the shortest path between two covariance matrices.

    A point is :math:`((1 - t) I + t T) A ((1 - t) I + t T)`, T the transport map. It is computed as
    :math:`F_t^T F_t,\ F_t = (1 - t) A^{1/2} + t\,Q B^{1/2}`, which needs no inverse.

    Args:
        cov_x: Matrix A at t = 0, symmetric positive semidefinite, shape `[..., dim, dim]`, floating dtype.
        cov_y: Matrix B at t = 1, same dim and dtype.
        t: Position on the path, between 0 and 1, shape `[...]`. Leading axes of all three broadcast.

    Returns:
        Shape `[..., dim, dim]`: at Bures distance t B(A, B) from A and (1 - t) B(A, B) from B.

    Raises:
        ValueError: The matrices are not square, or their dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        If the path is not unique (A and B are singular in different directions), the result is one of the shortest
        paths. Cost: two `eigh` and one SVD. Twice differentiable in every argument, and to any order in t. For singular
        A the derivatives in the matrices are those on its range.
    """
    checks.check_covariances(cov_x=cov_x, cov_y=cov_y)
    t = jnp.asarray(t, cov_x.dtype)

    def of_pair(cov_x, cov_y, t):
        exponent = linalg.unit_exponent(cov_x, cov_y)
        point = lambda x, y, t: _point_on_geodesic(x, y, t, _find_rotation(x, y))  # noqa: E731
        return linalg.homogeneous(point, (1, 0, 0), (exponent, exponent, 0), cov_x, cov_y, t)

    return linalg.over_leading_axes(of_pair, "(d,d),(d,d),()->(d,d)", cov_x, cov_y, t)


@jax.custom_jvp
def _point_on_geodesic(cov_x, cov_y, t, rotation):
    root_x, root_y = linalg.sqrtm(cov_x), linalg.sqrtm(cov_y)
    # The whole rotation, even where it is not unique: at t = 1 the result must be all of B.
    factor = (1 - t) * root_x + t * matmul(rotation.u, matmul(rotation.v.T, root_y))
    return matmul(factor.T, factor)


@_point_on_geodesic.defjvp
def _point_on_geodesic_jvp(primals, tangents):
    (cov_x, cov_y, t, rotation), tangent_t = primals, tangents[2]
    cov_x, cov_y, tangent_x, tangent_y = (linalg.symmetric_part(matrix) for matrix in (*primals[:2], *tangents[:2]))
    transport = _transport_map(cov_x, cov_y, rotation)
    transport_tangent = _transport_tangent(cov_x, cov_y, rotation, tangent_x, tangent_y)
    # G = (1 - t)^2 A + t^2 B + t (1 - t) (A T + T A)
    cross_tangent = matmul(tangent_x, transport) + matmul(cov_x, transport_tangent)
    tangent = (1 - t) ** 2 * tangent_x + t**2 * tangent_y + t * (1 - t) * (cross_tangent + cross_tangent.T)
    # The point is quadratic in t, also if A is singular.
    root_x, root_y = linalg.sqrtm(cov_x), linalg.sqrtm(cov_y)
    rest = matmul(rotation.u * (1 - rotation.keep)[None, :], matmul(rotation.v.T, root_y))
    step = alignment.align(root_x, root_y, rotation)[0] + rest - root_x  # with the derivative of the rotation
    half_speed = matmul((root_x + t * step).T, step)
    return _point_on_geodesic(*primals), tangent + tangent_t * (half_speed + half_speed.T)


@jit
def bures_barycenter(
    covs: Array, weights: Array | None = None, *, max_iterations: int = 100, rtol: float | None = None
) -> jax.Array:
    r"""Computes the weighted barycenter (Frechet mean) of covariance matrices in the Bures distance.

    The barycenter is the minimizer S of :math:`\sum_i w_i B^2(S, A_i)`; there :math:`\sum_i w_i T_{S \to A_i} = I`. The
    fixed-point iteration of Alvarez-Esteban et al. runs on a factor of S:
    :math:`X \leftarrow \sum_i w_i Q_i A_i^{1/2}`, where each root is rotated as close as possible to X. Every step
    decreases the objective. No inverse is taken, so singular matrices are allowed.

    Args:
        covs: Symmetric positive semidefinite, shape `[..., n, dim, dim]`, floating dtype.
        weights: Weights, not negative and with a positive sum, by which they are divided. Shape `[..., n]`, same dtype.
            Default: equal weights.
        max_iterations: The largest number of iterations.
        rtol: The iteration stops when X changes by at most this in a step, relative to X. Default: 8 * eps of the
            dtype.

    Returns:
        The barycenter, shape `[..., dim, dim]`.

    Raises:
        ValueError: The shapes do not match.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost per iteration: n SVDs. Matrices that commute need two iterations, generic ones about ten. The derivative is
        that of the exact barycenter by the implicit function theorem (a linear system, solved at the same rate). It
        exists in `covs` and `weights`, in forward and reverse mode, up to second order, and is correct if the
        barycenter is regular.
    """
    checks.check_square("covs", covs)
    if covs.ndim < 3 or covs.shape[-3] == 0:
        raise ValueError(f"covs must be a stack of matrices [..., n, dim, dim], got shape {covs.shape}.")
    n = covs.shape[-3]
    weights = jnp.ones(n, covs.dtype) if weights is None else weights
    checks.check_last_axis("weights", weights, n, "one for each matrix")
    checks.check_same_dtype(covs=covs, weights=weights)
    rtol = 8 * float(jnp.finfo(covs.dtype).eps) if rtol is None else rtol

    def of_stack(covs, weights):
        # The zero varies over the same devices as the weights, which `jax.shard_map` wants of the start of a loop.
        scale = linalg.unit_scale(covs) + jnp.zeros_like(weights[0])
        # Each root has its own scale, which its weight takes over: powers of two, so nothing is rounded.
        exponents = jnp.frexp(jax.vmap(linalg.unit_scale)(covs) / scale)[1] - 1
        own = jnp.ldexp(jnp.ones_like(weights), exponents // 2)
        covs, weights = covs / (scale * own * own)[:, None, None], own * weights / jnp.sum(weights)
        return scale * _barycenter(covs, weights, max_iterations, rtol)

    return linalg.over_leading_axes(of_stack, "(n,d,d),(n)->(d,d)", covs, weights)


def _weighted_sum(weights, matrices):
    return jnp.tensordot(weights, matrices, 1, precision=jax.lax.Precision.HIGHEST)


def _average_roots(factor, roots, weights):
    """Takes one step of the fixed-point iteration on a factor of the barycenter."""
    aligned = jax.vmap(functools.partial(_align_roots, factor))(roots)
    return _weighted_sum(weights, aligned)


def _barycenter(covs, weights, max_iterations, rtol):
    def iterate(step, start):
        def go_on(carry):
            iteration, current, change = carry
            return (iteration < max_iterations) & (change > rtol * jnp.linalg.norm(current))

        def advance(carry):
            iteration, current, _ = carry
            following = step(current)
            return iteration + 1, following, jnp.linalg.norm(following - current)

        infinity = jnp.full_like(start, jnp.inf, shape=())  # varies over the devices as `start` does
        return jax.lax.while_loop(go_on, advance, (0, start, infinity))[1]

    def solve(_, __):
        roots = jax.vmap(linalg.sqrtm)(covs)
        start = _weighted_sum(weights, roots)
        factor = iterate(lambda factor: _average_roots(factor, roots, weights), start)
        return matmul(factor.T, factor)

    def shortfall(barycenter):
        """Returns a matrix that is zero only at the barycenter."""
        maps = jax.vmap(transport_map_of_pair, (None, 0))(barycenter, covs)
        mean_map = _weighted_sum(weights, maps)
        return barycenter - matmul(matmul(mean_map, barycenter), mean_map)

    def solve_linear(matvec, right):
        # The derivative of the fixed-point map is a contraction, so this converges at the rate of the iteration itself.
        def solve(matvec, right):
            return iterate(lambda solution: solution + right - matvec(solution), right)

        return jax.lax.custom_linear_solve(matvec, right, solve, transpose_solve=solve)

    return jax.lax.custom_root(shortfall, jnp.zeros_like(covs[0]), solve, solve_linear)
