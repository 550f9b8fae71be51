"""Roots, transport map, geodesic and barycenter: their defining equations, singular input, derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

from buresgan_jax import (
    bures_barycenter,
    bures_distance,
    bures_geodesic,
    bures_transport_map,
    inv_sqrtm,
    sqrtm,
    squared_bures_distance,
)
from buresgan_jax.distances import newton_schulz


def covariance(seed, dim=5, rank=None):
    x = np.random.default_rng(seed).normal(size=(rank or dim + 3, dim))
    return jnp.asarray(x.T @ x / dim)


def symmetric(matrix):
    return (matrix + jnp.swapaxes(matrix, -1, -2)) / 2


# Roots


def test_inverse_root_is_the_inverse_of_the_root_and_a_pseudo_inverse_where_singular(x64):
    a = covariance(0)
    np.testing.assert_allclose(inv_sqrtm(a) @ sqrtm(a), np.eye(5), atol=1e-12)
    check_grads(inv_sqrtm, (a,), order=2, rtol=1e-3)
    singular = covariance(1, rank=3)
    expected = scipy.linalg.pinvh(scipy.linalg.sqrtm(singular).real, atol=1e-6)
    np.testing.assert_allclose(inv_sqrtm(singular), expected, atol=1e-9)
    # Along matrices of the same rank the derivative is that of the pseudo-inverse.
    factor, change = np.random.default_rng(2).normal(size=(2, 3, 5))
    check_grads(lambda t: inv_sqrtm((factor + t * change).T @ (factor + t * change)), (0.0,), order=1, rtol=1e-4)
    assert not np.any(inv_sqrtm(jnp.zeros((3, 3))))


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_newton_schulz_polar_factor_is_scipys(x64, shape):
    matrix = np.random.default_rng(0).normal(size=shape) * 1e-7
    expected = scipy.linalg.polar(matrix)[0]
    np.testing.assert_allclose(newton_schulz.polar(jnp.asarray(matrix)), expected, atol=1e-13)
    single = newton_schulz.polar(jnp.asarray(matrix, jnp.float32))
    np.testing.assert_allclose(single, expected, atol=1e-5)
    assert not np.any(newton_schulz.polar(jnp.zeros(shape)))


def test_newton_schulz_roots_are_the_root_and_its_inverse(x64):
    a = covariance(0)
    root, inverse = newton_schulz.roots(a)
    np.testing.assert_allclose(root, sqrtm(a), rtol=1e-11)
    np.testing.assert_allclose(inverse, inv_sqrtm(a), rtol=1e-10)
    # Nothing grows on directions that rounding made negative.
    root, inverse = newton_schulz.roots(jnp.diag(jnp.array([1.0, 0.0, -1e-7], jnp.float32)))
    np.testing.assert_allclose(root, np.diag([1, 0, 0]), atol=2e-3)
    assert np.abs(inverse).max() < 1e4


# Transport map


def test_transport_map_carries_one_gaussian_to_the_other(x64):
    a, b = covariance(0), covariance(1)
    transport = bures_transport_map(a, b)
    np.testing.assert_allclose(transport @ a @ transport, b, rtol=1e-11)
    np.testing.assert_allclose(transport, transport.T, atol=1e-14)
    assert np.linalg.eigvalsh(transport)[0] > 0
    np.testing.assert_allclose(jax.grad(squared_bures_distance)(a, b), np.eye(5) - transport, atol=1e-11)
    np.testing.assert_allclose(bures_transport_map(b, a) @ transport, np.eye(5), atol=1e-10)


def test_transport_map_of_singular_matrices_acts_on_the_range(x64):
    a, b = covariance(0), jnp.diag(jnp.array([2.0, 1, 1, 0, 0]))
    transport = bures_transport_map(a, b)
    np.testing.assert_allclose(transport @ a @ transport, b, atol=1e-7)
    # Zero outside of the range, and positive semidefinite.
    a, projector = covariance(2, rank=3), inv_sqrtm(covariance(2, rank=3)) @ sqrtm(covariance(2, rank=3))
    transport = bures_transport_map(a, covariance(0))
    np.testing.assert_allclose(transport @ projector, transport, atol=1e-8)
    assert np.linalg.eigvalsh(transport)[0] > -1e-8
    inverse, root = inv_sqrtm(a), sqrtm(a)
    np.testing.assert_allclose(transport, inverse @ sqrtm(root @ covariance(0) @ root) @ inverse, atol=1e-6)
    transport = bures_transport_map(b, 4 * b)
    np.testing.assert_allclose(transport, np.diag([2, 2, 2, 0, 0]), atol=1e-7)
    gradient = jax.grad(lambda a: bures_transport_map(a, b).sum())(b)
    assert np.isfinite(gradient).all()


def test_derivatives_of_transport_map_and_geodesic_equal_finite_differences(x64):
    a, b = covariance(0, 3), covariance(1, 3)
    check_grads(bures_transport_map, (a, b), order=1, rtol=1e-3)
    check_grads(bures_geodesic, (a, b, 0.3), order=2, rtol=1e-3)  # goes through the map's derivatives


@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4])
def test_float32_derivatives_see_the_small_directions_of_regular_matrices(small):
    diagonal = jnp.array([1.0, small], jnp.float32)

    def distance(variances):
        return squared_bures_distance(jnp.diag(variances), jnp.diag(diagonal))

    # Between diagonal matrices it is the sum of (sqrt(a) - sqrt(b))^2, whose second derivative at a = b is 1 / (2 a).
    np.testing.assert_allclose(jnp.diag(jax.hessian(distance)(diagonal)), 1 / (2 * diagonal), rtol=1e-2)
    # Half way: ((sqrt(a) + sqrt(b)) / 2)^2, whose derivative at a = b is 1/2.
    middle = jax.jacobian(lambda v: jnp.diag(bures_geodesic(jnp.diag(v), jnp.diag(diagonal), 0.5)))(diagonal)
    np.testing.assert_allclose(jnp.diag(middle), 0.5, rtol=1e-2)


# Geodesic


@pytest.mark.parametrize("ranks", [(None, None), (None, 2), (2, 2)], ids=str)
def test_geodesic_divides_the_distance(x64, ranks):
    a, b = covariance(0, rank=ranks[0]), covariance(1, rank=ranks[1])
    whole = bures_distance(a, b)
    t = np.array([0.0, 0.25, 0.5, 1.0])
    points = bures_geodesic(a, b, t)
    np.testing.assert_allclose(points[0], a, atol=1e-12)
    np.testing.assert_allclose(points[-1], b, atol=1e-12)
    np.testing.assert_allclose(bures_distance(a, points), t * whole, atol=2e-6)
    np.testing.assert_allclose(bures_distance(points, b), (1 - t) * whole, atol=2e-6)


def test_derivative_along_the_geodesic_is_right_for_singular_matrices(x64):
    a, b = jnp.diag(jnp.array([1.0, 0.0])), jnp.array([[1.0, 0.5], [0.5, 1.0]])
    check_grads(lambda t: bures_geodesic(a, b, t), (0.3,), order=2, rtol=1e-6)


# Barycenter


def test_barycenter_satisfies_its_equation(x64):
    covs = jnp.stack([covariance(seed) for seed in range(4)])
    weights = jnp.array([0.1, 0.2, 0.3, 0.4])
    barycenter = bures_barycenter(covs, 7 * weights)
    maps = bures_transport_map(barycenter, covs)
    np.testing.assert_allclose(np.tensordot(weights, maps, 1), np.eye(5), atol=1e-12)

    def objective(matrix):
        return weights @ squared_bures_distance(matrix, covs)

    assert objective(barycenter) < min(objective(cov) for cov in (*covs, covs.mean(0)))


def test_barycenters_that_are_known(x64):
    a, b = covariance(0), covariance(1)
    np.testing.assert_allclose(bures_barycenter(a[None]), a, rtol=1e-12)
    np.testing.assert_allclose(bures_barycenter(jnp.stack([b, b, b])), b, rtol=1e-12)
    np.testing.assert_allclose(
        bures_barycenter(jnp.stack([a, b]), jnp.array([0.7, 0.3])), bures_geodesic(a, b, 0.3), atol=1e-12
    )
    variances = np.array([[1.0, 4, 9], [4, 0, 25]])
    commuting = bures_barycenter(jnp.stack([jnp.diag(row) for row in variances]))
    np.testing.assert_allclose(commuting, np.diag(np.sqrt(variances).mean(0) ** 2), atol=1e-12)
    zeros = bures_barycenter(jnp.zeros((2, 3, 3)))
    assert not np.any(zeros)


def test_barycenter_of_singular_matrices_is_finite_with_a_finite_gradient(x64):
    covs = jnp.stack([covariance(seed, rank=2) for seed in range(3)])
    value, gradient = jax.value_and_grad(lambda covs: bures_barycenter(covs).sum())(covs)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_derivatives_of_the_barycenter_equal_finite_differences(x64):
    covs, weights = jnp.stack([covariance(seed, 3) for seed in range(3)]), jnp.array([0.2, 0.5, 0.3])
    check_grads(lambda c, w: bures_barycenter(symmetric(c), w), (covs, weights), order=1, rtol=1e-4)
    # Second order, by finite differences of the gradient.
    gradient = jax.grad(lambda w: bures_barycenter(covs, w)[0, 0])
    direction = jnp.array([1.0, -2.0, 0.5])
    step = 1e-5 * direction
    numeric = (gradient(weights + step) - gradient(weights - step)) / 2e-5
    np.testing.assert_allclose(jax.jvp(gradient, (weights,), (direction,))[1], numeric, rtol=1e-5, atol=1e-8)


def test_float32_barycenter_is_accurate(x64):
    covs = jnp.stack([covariance(seed, 16) for seed in range(5)])
    single = bures_barycenter(covs.astype(jnp.float32))
    np.testing.assert_allclose(single, bures_barycenter(covs), atol=2e-6 * np.trace(covs[0]))


def test_errors_say_what_was_got():
    a = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"covs must be a stack of matrices \[..., n, dim, dim\], got shape \(3, 3\)"):
        bures_barycenter(a)
    with pytest.raises(ValueError, match=r"weights must have shape \[..., 2\], one for each matrix, got shape \(3,\)"):
        bures_barycenter(np.stack([a, a]), np.ones(3, np.float32))
    for function in (bures_transport_map, functools.partial(bures_geodesic, t=0.5)):
        with pytest.raises(ValueError, match=r"equal dim, got shapes \(3, 3\) and \(2, 2\)"):
            function(a, a[:2, :2])
    with pytest.raises(TypeError, match="covs must be float64, .* or float16, got int32"):
        bures_barycenter(np.ones((2, 3, 3), np.int32))
