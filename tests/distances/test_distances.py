"""Values against SciPy and closed forms, derivatives against finite differences, and every kind of degenerate input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

import buresgan_jax
from buresgan_jax.distances import METHODS, newton_schulz, prepare_features

FROM_FEATURES = {
    "bures": buresgan_jax.squared_bures_distance_from_features,
    "bures_eigh": functools.partial(buresgan_jax.squared_bures_distance_from_features, method="eigh"),
    "bures_newton_schulz": functools.partial(buresgan_jax.squared_bures_distance_from_features, method="newton_schulz"),
    "frobenius": buresgan_jax.squared_frobenius_distance_from_features,
}
FROM_COVARIANCES = {
    "squared_bures": buresgan_jax.squared_bures_distance,
    "squared_bures_svd": functools.partial(buresgan_jax.squared_bures_distance, method="svd"),
    "squared_bures_newton_schulz": functools.partial(buresgan_jax.squared_bures_distance, method="newton_schulz"),
    "bures": buresgan_jax.bures_distance,
    "fidelity": buresgan_jax.fidelity,
    "squared_frobenius": buresgan_jax.squared_frobenius_distance,
    "frobenius": buresgan_jax.frobenius_distance,
}
SHAPES = [(5, 5, 8), (5, 7, 8), (7, 5, 8), (9, 9, 4), (9, 6, 4), (3, 9, 4), (9, 3, 4), (6, 6, 6), (1, 4, 3)]
SPECTRA = {
    "flat": lambda d: np.ones(d),
    "1/k": lambda d: 1 / np.arange(1, d + 1),
    "1/k^2": lambda d: 1 / np.arange(1, d + 1) ** 2,
    "exponential": lambda d: 10.0 ** np.linspace(0, -12, d),
    "half_rank": lambda d: (np.arange(d) < d // 2).astype(float),
}


def features(seed, n, dim, scales=1.0, dtype=np.float64):
    return (np.random.default_rng(seed).normal(size=(n, dim)) * scales).astype(dtype)


def covariance(seed, dim, dtype=np.float64):
    x = features(seed, dim + 3, dim)
    return (x.T @ x / dim).astype(dtype)


def exact_from_features(x, y):
    """The nuclear-norm form in float64, without centering."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.sum(x**2) + np.sum(y**2) - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()


# Values


@pytest.mark.parametrize("method", ["svd", "eigh"])
def test_unit_vectors_of_the_paper_by_hand(method):
    x = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    half = np.sqrt(0.5)
    orthogonal, turned = jnp.array([[0.0, 1.0], [0.0, -1.0]]), x @ jnp.array([[half, half], [-half, half]])
    options = {"center": False, "scale": "sum"}
    bures = functools.partial(buresgan_jax.squared_bures_distance_from_features, method=method, **options)
    frobenius = functools.partial(buresgan_jax.squared_frobenius_distance_from_features, **options)
    np.testing.assert_allclose(bures(x, orthogonal), 4, rtol=1e-5)
    np.testing.assert_allclose(frobenius(x, orthogonal), 8, rtol=1e-6)
    np.testing.assert_allclose(bures(x, turned), 4 - 2 * np.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(frobenius(x, turned), 4, rtol=1e-6)
    np.testing.assert_allclose(bures(x, x[::-1]), 0, atol=1e-6)


def test_bures_of_diagonal_matrices_is_the_difference_of_roots(x64):
    a, b = jnp.array([4.0, 9.0, 0.0]), jnp.array([1.0, 16.0, 25.0])
    value = buresgan_jax.squared_bures_distance(jnp.diag(a), jnp.diag(b))
    np.testing.assert_allclose(value, np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rtol=1e-14)


@pytest.mark.parametrize("dim", [1, 2, 7, 20])
def test_bures_equals_the_formula_with_scipys_roots(x64, dim):
    a, b = covariance(0, dim), covariance(1, dim)
    root = scipy.linalg.sqrtm(a)
    expected = np.trace(a) + np.trace(b) - 2 * np.trace(scipy.linalg.sqrtm(root @ b @ root)).real
    np.testing.assert_allclose(buresgan_jax.squared_bures_distance(a, b), expected, rtol=1e-11)
    np.testing.assert_allclose(buresgan_jax.bures_distance(a, b) ** 2, expected, rtol=1e-11)


OPTIONS = [{"center": False, "scale": "sum"}, {"normalize": True}, {}]


@pytest.mark.parametrize(("shape", "options"), list(zip(SHAPES, 3 * OPTIONS, strict=True)), ids=str)
def test_features_and_covariances_agree(x64, shape, options):
    n, m, dim = shape
    x, y = jnp.asarray(features(0, n, dim)), jnp.asarray(features(1, m, dim))
    prepare = functools.partial(prepare_features, **({"scale": "mean"} | options))
    f, r = prepare(x), prepare(y)
    for name, distance in FROM_FEATURES.items():
        covariance_distance = FROM_COVARIANCES["squared_frobenius" if name == "frobenius" else "squared_bures"]
        expected = covariance_distance(f.T @ f, r.T @ r)
        # The roots of singular covariances carry sqrt(eps).
        np.testing.assert_allclose(distance(x, y, **options), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(FROM_FEATURES["bures"](x, y, **options), exact_from_features(f, r), rtol=1e-12)


def test_penalty_floor_of_gaussian_features_is_the_papers():
    # Two independent batches of n 256, dim 128: 63.6 of at most 512 (method card, NumPy).
    x, y = features(0, 256, 128, dtype=np.float32), features(1, 256, 128, dtype=np.float32)
    value = buresgan_jax.squared_bures_distance_from_features(x, y, normalize=True, scale="sum")
    np.testing.assert_allclose(value, 63.6, rtol=0.02)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(("n", "dim"), [(64, 16), (32, 96)])
def test_float32_features_meet_the_stated_accuracy(spectrum, n, dim):
    scales = SPECTRA[spectrum](dim)
    x, y = features(0, n, dim, scales, np.float32), features(1, n, dim, scales, np.float32)
    exact, traces = exact_from_features(x, y), np.sum(x.astype(float) ** 2) + np.sum(y.astype(float) ** 2)
    distance = functools.partial(buresgan_jax.squared_bures_distance_from_features, center=False, scale="sum")
    assert abs(distance(x, y) - exact) <= max(1e-5 * exact, 2e-7 * traces)
    assert 0 <= distance(x, x) <= 1e-6 * traces


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("equal", [False, True])
def test_float32_covariances_meet_the_stated_accuracy(x64, spectrum, equal):
    dim = 16
    basis_x, basis_y = (np.linalg.qr(features(seed, dim, dim))[0] for seed in (0, 0 if equal else 1))
    eigenvalues = SPECTRA[spectrum](dim)
    x, y = ((basis * eigenvalues @ basis.T).astype(np.float32) for basis in (basis_x, basis_y))
    value, traces = buresgan_jax.squared_bures_distance(x, y), np.trace(x) + np.trace(y)
    assert value.dtype == np.float32
    assert value >= 0
    if equal:
        assert value <= 1e-6 * traces
        return
    exact = float(buresgan_jax.squared_bures_distance(x.astype(np.float64), y.astype(np.float64)))
    regular = eigenvalues.max() <= 1e4 * eigenvalues.min()
    assert abs(float(value) - exact) <= (max(1e-5 * exact, 2e-7 * traces) if regular else 5e-4 * traces)


@pytest.mark.parametrize("exponent", [-40, 41])
@pytest.mark.parametrize("method", METHODS)
def test_scaling_the_input_by_a_power_of_two_scales_the_result_by_it_exactly(method, exponent):
    scale = np.float32(2.0**exponent)  # about 1e-12 and 1e12
    a, b = covariance(0, 8, np.float32), covariance(1, 8, np.float32)
    distance = functools.partial(buresgan_jax.squared_bures_distance, method=method)
    assert distance(a * scale, b * scale) == scale * distance(a, b)
    x, y = features(0, 6, 8, dtype=np.float32), features(1, 12, 8, dtype=np.float32)
    distance = functools.partial(buresgan_jax.squared_bures_distance_from_features, method=method)
    assert distance(x * scale, y * scale) == scale**2 * distance(x, y)
    gradient = jax.grad(distance)
    np.testing.assert_array_equal(gradient(x * scale, y * scale), scale * gradient(x, y))


# Properties


def test_bures_is_a_metric_and_invariant_under_rotation(x64):
    a, b, c = (covariance(seed, 6) for seed in range(3))
    q = np.linalg.qr(features(3, 6, 6))[0]
    distance = buresgan_jax.bures_distance
    np.testing.assert_allclose(distance(a, b), distance(b, a), rtol=1e-12)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    np.testing.assert_allclose(distance(q @ a @ q.T, q @ b @ q.T), distance(a, b), rtol=1e-11)


@pytest.mark.parametrize("name", FROM_FEATURES)
def test_the_order_of_the_rows_does_not_matter(x64, name):
    x, y = features(0, 7, 5), features(1, 7, 5)
    order = np.random.default_rng(2).permutation(7)
    distance = FROM_FEATURES[name]
    np.testing.assert_allclose(distance(x[order], y), distance(x, y), rtol=1e-10)


# Derivatives


@pytest.mark.parametrize(
    ("name", "n", "m", "dim", "normalize"),
    [
        ("bures", 5, 7, 8, True),
        ("bures", 9, 3, 4, True),
        ("bures", 4, 4, 4, False),
        ("frobenius", 5, 7, 8, True),
        ("frobenius", 9, 3, 4, False),
    ],
)
def test_derivatives_from_features_equal_finite_differences(x64, name, n, m, dim, normalize):
    arguments = jnp.asarray(features(0, n, dim)), jnp.asarray(features(1, m, dim))
    distance = functools.partial(FROM_FEATURES[name], normalize=normalize)
    check_grads(distance, arguments, order=2, modes=["fwd", "rev"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "n", "dim"), [("bures_eigh", 5, 8), ("bures_newton_schulz", 12, 4)])
def test_derivatives_of_the_other_methods_equal_finite_differences(x64, name, n, dim):
    y = jnp.asarray(features(1, n, dim))
    check_grads(lambda x: FROM_FEATURES[name](x, y), (jnp.asarray(features(0, n, dim)),), order=2)


@pytest.mark.parametrize("name", FROM_COVARIANCES)
def test_derivatives_from_covariances_equal_finite_differences(x64, name):
    symmetric = lambda a, b: FROM_COVARIANCES[name]((a + a.T) / 2, (b + b.T) / 2)  # noqa: E731
    arguments = jnp.asarray(covariance(0, 4)), jnp.asarray(covariance(1, 4))
    check_grads(symmetric, arguments, order=2, modes=["fwd", "rev"], rtol=1e-4, atol=1e-4)


def test_the_gradient_of_bures_is_one_minus_the_transport_map(x64):
    a, b = covariance(0, 5), covariance(1, 5)
    root = scipy.linalg.sqrtm(a)
    inverse = np.linalg.inv(root)
    transport = inverse @ scipy.linalg.sqrtm(root @ b @ root) @ inverse
    gradient = jax.grad(buresgan_jax.squared_bures_distance)(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(gradient, np.eye(5) - transport, atol=1e-11)


@pytest.mark.parametrize(("n", "dim", "decay"), [(64, 24, 0.0), (64, 24, 1.0), (32, 2048, 1.0), (128, 64, 1.0)])
def test_float32_gradient_from_features_is_accurate_on_regular_input(x64, n, dim, decay):
    scales = np.arange(1, dim + 1) ** -decay
    x, y = features(0, n, dim, scales), features(1, n, dim, scales)
    gradient = jax.grad(FROM_FEATURES["bures"])
    exact = gradient(jnp.asarray(x), jnp.asarray(y))
    error = gradient(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)) - exact
    assert jnp.linalg.norm(error) <= 1e-4 * jnp.linalg.norm(exact)


def test_sqrtm_squares_to_its_input_and_its_derivative_is_exact_at_ties(x64):
    a = covariance(0, 6)
    np.testing.assert_allclose(buresgan_jax.sqrtm(a) @ buresgan_jax.sqrtm(a), a, rtol=1e-10)
    check_grads(buresgan_jax.sqrtm, (jnp.asarray(a),), order=3, modes=["fwd", "rev"])
    # All eigenvalues equal: d sqrt(A) = dA / (2 sqrt(lambda)).
    tangent = jnp.asarray(covariance(1, 4))
    root, derivative = jax.jvp(buresgan_jax.sqrtm, (9 * jnp.eye(4),), (tangent,))
    np.testing.assert_allclose(root, 3 * np.eye(4), atol=1e-14)
    np.testing.assert_allclose(derivative, tangent / 6, rtol=1e-13)


def degenerate_features(kind, dtype):
    x, y = features(0, 12, 6, dtype=dtype), features(1, 12, 6, dtype=dtype)
    return {
        "equal": (x, x),
        "collapsed": (np.ones_like(x), y),
        "both_collapsed": (np.ones_like(x), np.ones_like(x)),
        "nearly_collapsed": (1 + 1e-6 * x, y),
        "rank_one": (x[:, :1] * y[:1], y),
        "repeated_rows": (np.repeat(x[:3], 4, axis=0), y),
        "zero": (np.zeros_like(x), y),
        "tied": (np.concatenate([np.eye(6), -np.eye(6)]).astype(dtype), 2 * np.eye(12, 6, dtype=dtype)),
        "one_row": (x[:1], y),
    }[kind]


DEGENERATE = ["equal", "collapsed", "both_collapsed", "nearly_collapsed", "rank_one", "repeated_rows", "zero", "tied"]


def assert_finite(function, x, y, kinds):
    """Value and both gradients, of a stack of cases in one call."""
    values = function(x, y)
    gradients = jax.grad(lambda x, y: function(x, y).sum(), argnums=(0, 1))(x, y)
    for index, kind in enumerate(kinds):
        assert np.isfinite(values[index]), kind
        assert values[index] >= 0, kind
        assert all(np.isfinite(gradient[index]).all() for gradient in gradients), kind


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FROM_FEATURES)
def test_degenerate_features_have_finite_value_and_gradient(x64, name, dtype):
    x, y = map(np.stack, zip(*(degenerate_features(kind, dtype) for kind in DEGENERATE), strict=True))
    for normalize in (False, True):
        distance = functools.partial(FROM_FEATURES[name], normalize=normalize)
        assert_finite(distance, x, y, DEGENERATE)
        one_row, other = degenerate_features("one_row", dtype)
        assert_finite(distance, one_row[None], other[None], ["one_row"])


@pytest.mark.parametrize("method", ["eigh", "svd"])
@pytest.mark.parametrize(("n", "m"), [(3, 8), (8, 3), (3, 4)])
def test_gradient_of_rank_deficient_covariances_is_that_of_their_features(x64, method, n, m):
    x, y = jnp.asarray(features(0, n, 5)), jnp.asarray(features(1, m, 5))
    options = {"center": False, "scale": "sum"}
    expected = jax.grad(FROM_FEATURES["bures"], argnums=(0, 1))(x, y, **options)
    through_covariances = lambda x, y: FROM_COVARIANCES["squared_bures"](x.T @ x, y.T @ y, method=method)  # noqa: E731
    gradients = jax.grad(through_covariances, argnums=(0, 1))(x, y)
    for gradient, exact in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, exact, atol=1e-6)


def test_low_rank_gradient_without_a_diagonal_is_that_of_the_features(x64):
    x, y = jnp.asarray(features(0, 1, 5)), jnp.asarray(features(1, 2, 5))
    low_rank = lambda x: buresgan_jax.squared_bures_distance_low_rank(x, jnp.zeros(1), y, jnp.zeros(1))  # noqa: E731
    expected = jax.grad(functools.partial(FROM_FEATURES["bures"], center=False, scale="sum"))(x, y)
    np.testing.assert_allclose(jax.grad(low_rank)(x), expected, atol=1e-6)


def test_the_largest_float32_numbers_do_not_overflow():
    a = np.float32(2e38) * np.eye(2, dtype=np.float32)
    assert buresgan_jax.squared_bures_distance(a, a) == 0
    np.testing.assert_allclose(buresgan_jax.bures_barycenter(np.stack([a, a])), a, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FROM_COVARIANCES)
def test_degenerate_covariances_have_finite_value_and_gradient(x64, name, dtype):
    x, y = map(np.stack, zip(*(degenerate_features(kind, dtype) for kind in DEGENERATE), strict=True))
    assert_finite(FROM_COVARIANCES[name], x.swapaxes(1, 2) @ x, y.swapaxes(1, 2) @ y, DEGENERATE)


# Errors


def test_errors_say_what_was_got_and_what_to_do():
    x = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match=r"cov_x must be square matrices .* got shape \(4, 3\).*_from_features"):
        buresgan_jax.bures_distance(x, x)
    with pytest.raises(ValueError, match=r"equal dim, got shapes \(3, 3\) and \(2, 2\)"):
        buresgan_jax.squared_bures_distance(np.eye(3), np.eye(2))
    with pytest.raises(TypeError, match="must be float64, .* or float16, got int32"):
        buresgan_jax.sqrtm(np.eye(3, dtype=np.int32))
    with pytest.raises(TypeError, match="frobenius_distance needs arrays of equal dtypes, got float32, float16"):
        buresgan_jax.frobenius_distance(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float16))
    with pytest.raises(TypeError, match="must be float64, .* or float16, got complex64"):
        buresgan_jax.squared_bures_distance_from_features(x.astype(np.complex64), x)
    for distance in FROM_FEATURES.values():
        with pytest.raises(ValueError, match=r"equal feature dim, got shapes \(4, 3\) and \(4, 2\)"):
            distance(x, x[:, :2])
        with pytest.raises(ValueError, match=r"non-empty batch .* got shape \(3,\)"):
            distance(x[0], x)
        with pytest.raises(ValueError, match="scale must be one of 'mean', 'sum', got 'max'"):
            distance(x, x, scale="max")
    with pytest.raises(TypeError, match=r"cov_x must be an array, got list. Convert it first: jnp.asarray\(cov_x\)"):
        buresgan_jax.bures_distance([[1.0]], [[1.0]])
    with pytest.raises(TypeError, match="x must be an array, got list"):
        buresgan_jax.bures_distance_from_features([[1.0]], [[1.0]])
    for distance in (buresgan_jax.squared_bures_distance_from_features, buresgan_jax.bures_distance):
        with pytest.raises(ValueError, match="method must be one of 'eigh', .* got 'eig'. Did you mean 'eigh'?"):
            distance(x[:3], x[:3], method="eig")
    with pytest.raises(ValueError, match=r"weights_x must have shape \[..., 4\], one for each row, got shape \(3,\)"):
        buresgan_jax.bures_distance_from_features(x, x, np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"mean_y must have shape \[..., 3\]"):
        buresgan_jax.bures_wasserstein_distance(np.ones(3), np.eye(3), np.ones(2), np.eye(3))
    with pytest.raises(ValueError, match=r"must be stacks \[..., n, dim, dim\]"):
        buresgan_jax.pairwise_squared_bures_distance(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=r"diagonal_y must have shape \[..., 3\] or \[..., 1\], got shape \(2,\)"):
        buresgan_jax.squared_bures_distance_low_rank(x, np.ones(1, np.float32), x, np.ones(2, np.float32))
    with pytest.raises(ValueError, match=r"variances_x must have shape \[..., 2\]"):
        buresgan_jax.squared_bures_distance_of_diagonals(np.ones(3), np.ones(2))


def test_weights_count_rows(x64):
    x, y = features(0, 6, 4), features(1, 5, 4)
    counts = np.array([3.0, 1, 0, 2, 1, 1])
    repeated = np.repeat(x, counts.astype(int), axis=0)
    for scale in ("mean", "sum"):
        for normalize in (False, True):
            distance = functools.partial(FROM_FEATURES["bures"], scale=scale, normalize=normalize)
            np.testing.assert_allclose(distance(x, y, counts), distance(repeated, y), rtol=1e-12)
            np.testing.assert_allclose(distance(y, x, None, counts), distance(y, repeated), rtol=1e-12)
    check_grads(lambda x, w: FROM_FEATURES["bures"](x, y, w), (x, counts + 0.5), order=1, rtol=1e-4)
    gradient = jax.grad(FROM_FEATURES["bures"], argnums=2)(x, y, counts)
    assert np.isfinite(gradient).all()
    assert FROM_FEATURES["bures"](np.stack([x, 2 * x]), y, counts).shape == (2,)
    assert np.isfinite(FROM_FEATURES["bures"](x, y, np.zeros(6)))


def authors_loss(fake, real, num_steps=15):
    """The loss of the authors' code in NumPy: covariance space, no shift."""
    a = fake.T @ fake @ (real.T @ real)
    norm = np.sqrt(np.sum(a**2))
    root, inverse, eye = a / norm, np.eye(len(a)), np.eye(len(a))
    for _ in range(num_steps):
        turn = (3 * eye - inverse @ root) / 2
        root, inverse = root @ turn, turn @ inverse
    return np.sum(fake**2) + np.sum(real**2) - 2 * np.sqrt(norm) * np.trace(root)


def test_newton_schulz_15_is_the_authors_truncated_iteration(x64):
    scales = 1 / np.arange(1, 25)
    for n in (40, 10):  # covariance space, batch space
        x, y = features(0, n, 24, scales), features(1, n, 24, scales)
        options = {"center": False, "scale": "sum"}
        distance = functools.partial(FROM_FEATURES["bures"], **options)
        expected = authors_loss(x, y) if n == 40 else authors_loss_in_batch_space(x, y)
        truncated = distance(x, y, method="newton_schulz_15")
        np.testing.assert_allclose(truncated, expected, rtol=1e-12)
        assert truncated > distance(x, y)  # small singular values are not reached
        # Their gradient is that of the iteration.
        check_grads(functools.partial(distance, method="newton_schulz_15"), (x, y), order=1, rtol=1e-4)
    a, b = covariance(0, 8), covariance(1, 8)
    np.testing.assert_allclose(
        buresgan_jax.squared_bures_distance(a, b, method="newton_schulz_15"),
        authors_loss(np.linalg.cholesky(a).T, np.linalg.cholesky(b).T),
        rtol=1e-12,
    )
    assert np.isfinite(jax.grad(functools.partial(distance, method="newton_schulz_15"))(0 * x, y)).all()


def authors_loss_in_batch_space(fake, real):
    cross = fake @ real.T
    root = newton_schulz.authors_root(cross @ cross.T)
    return np.sum(fake**2) + np.sum(real**2) - 2 * np.trace(root)


def test_wasserstein_distance_adds_the_means(x64):
    a, b = covariance(0, 4), covariance(1, 4)
    mean_x, mean_y = features(2, 2, 4)
    squared = buresgan_jax.squared_bures_wasserstein_distance(mean_x, a, mean_y, b)
    expected = np.sum((mean_x - mean_y) ** 2) + buresgan_jax.squared_bures_distance(a, b)
    np.testing.assert_allclose(squared, expected, rtol=1e-14)
    np.testing.assert_allclose(buresgan_jax.bures_wasserstein_distance(mean_x, a, mean_y, b) ** 2, expected, rtol=1e-13)
    assert buresgan_jax.bures_wasserstein_distance(mean_x, a, mean_x, a) < 1e-7


def test_fidelity_is_the_trace_of_the_geometric_root_and_keeps_its_digits_near_zero(x64):
    a, b = covariance(0, 5), covariance(1, 5)
    root = scipy.linalg.sqrtm(a)
    expected = np.trace(scipy.linalg.sqrtm(root @ b @ root)).real
    for method in ("eigh", "svd", "newton_schulz"):
        np.testing.assert_allclose(buresgan_jax.fidelity(a, b, method=method), expected, rtol=1e-12)
    # Nearly orthogonal supports: the difference of traces and squared distance has no digits left.
    x, y = np.diag([1.0, 1e-30]), np.diag([1e-30, 1.0])
    np.testing.assert_allclose(buresgan_jax.fidelity(x, y), 2e-15, rtol=1e-10)


def test_pairwise_distances_are_those_of_every_pair(x64):
    x = np.stack([covariance(seed, 4) for seed in range(3)])
    y = np.stack([covariance(seed, 4) for seed in range(2, 4)])
    expected = buresgan_jax.squared_bures_distance(x[:, None], y)
    for method in ("eigh", "svd", "newton_schulz", "auto"):
        result = buresgan_jax.pairwise_squared_bures_distance(x, y, method=method)
        np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize(("k", "m"), [(2, 3), (1, 1), (6, 5)])
def test_low_rank_plus_diagonal_equals_the_dense_distance(x64, k, m):
    x, y = features(0, k, 9), features(1, m, 9)
    diagonals = np.array([0.5]), np.array([0.2])
    low_rank = buresgan_jax.squared_bures_distance_low_rank
    dense = [f.T @ f + d * np.eye(9) for f, d in zip((x, y), diagonals, strict=True)]
    expected = buresgan_jax.squared_bures_distance(*dense)
    np.testing.assert_allclose(low_rank(x, diagonals[0], y, diagonals[1]), expected, rtol=1e-11)
    np.testing.assert_allclose(low_rank(x, np.full(9, 0.5), y, diagonals[1]), expected, rtol=1e-11)
    # Rows that depend on each other, and a gradient where the diagonal is zero.
    tied = low_rank(np.concatenate([x, x]) / np.sqrt(2), diagonals[0], y, diagonals[1])
    np.testing.assert_allclose(tied, expected, rtol=1e-9)
    gradients = jax.grad(low_rank, argnums=(0, 1, 2, 3))(x, np.zeros(1), x, np.zeros(1))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_no_gradient_is_taken_from_singular_values_below_rtol():
    x = jnp.diag(jnp.array([1.0, 0.1]))
    y = jnp.eye(2)
    distance = functools.partial(buresgan_jax.squared_bures_distance_from_features, center=False, scale="sum")
    full, cut = jax.grad(distance)(x, y), jax.grad(functools.partial(distance, rtol=0.5))(x, y)
    np.testing.assert_allclose(full, 2 * (x - y), atol=1e-6)
    np.testing.assert_allclose(cut, 2 * (x - jnp.diag(jnp.array([1.0, 0.0]))), atol=1e-6)


@pytest.mark.parametrize(("n", "dim"), [(256, 128), (1024, 512)])
def test_eigh_is_near_svd_on_flat_spectra_of_batches_with_more_rows_than_columns(n, dim):
    x, y = (jnp.asarray(features(seed, n, dim, dtype=np.float32)) for seed in range(2))
    distance = functools.partial(buresgan_jax.squared_bures_distance_from_features, scale="sum")
    exact, fast = (jax.value_and_grad(functools.partial(distance, method=method))(x, y) for method in ("svd", "eigh"))
    np.testing.assert_allclose(fast[0], exact[0], rtol=1e-5)
    np.testing.assert_allclose(fast[1], exact[1], atol=1e-3 * np.abs(exact[1]).max())
    assert 0 <= distance(x, x[::-1], method="eigh") <= 1e-6 * 2 * jnp.sum(x**2)


def with_small_columns(n, m, dim, dtype):
    """Pairs of batches, one or both with 1 or dim / 2 columns scaled by 1e-1 to 1e-8; and where no column is small."""
    scales, counts = np.meshgrid(10.0 ** -np.arange(1, 8.1, 0.25), [1, dim // 2])
    healthy = np.arange(dim) >= counts.reshape(-1, 1, 1)
    columns = np.where(healthy, 1, scales.reshape(-1, 1, 1))
    x, y = (features(seed, len(columns) * rows, dim).reshape(-1, rows, dim) for seed, rows in enumerate((n, m)))
    x, y = x + x[..., :1], y - y[..., :1]  # columns that depend on each other
    x, y = np.concatenate([x * columns, x, x * columns]), np.concatenate([y, y * columns, y * columns])
    return x.astype(dtype), y.astype(dtype), np.concatenate([healthy] * 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "m", "dim"), [(4, 5, 3), (60, 50, 8), (24, 5, 6)], ids=str)
def test_eigh_keeps_half_the_digits_beside_small_columns(x64, dtype, n, m, dim):
    x, y, healthy = with_small_columns(n, m, dim, dtype)

    def derivatives(x, y):
        distance = functools.partial(FROM_FEATURES["bures_eigh"], center=False, scale="sum")
        gradient = jax.grad(lambda x, y: distance(x, y).sum(), argnums=(0, 1))
        return distance(x, y), gradient(x, y), jax.jvp(gradient, (x, y), (x + y[:, :1], y - x[:, :1]))[1]

    value, gradients, second = jax.jit(derivatives)(x, y)
    assert all(np.isfinite(array).all() for array in (*gradients, *second))
    x, y = x.astype(float), y.astype(float)
    u, s, v_transposed = np.linalg.svd(x @ y.swapaxes(1, 2), full_matrices=False)
    traces = np.sum(x**2, axis=(1, 2)) + np.sum(y**2, axis=(1, 2))
    root_eps = float(np.finfo(dtype).eps) ** 0.5
    np.testing.assert_array_less(np.abs(value - (traces - 2 * s.sum(1))), 4 * root_eps * traces)
    if min(n, m) > 2 * dim:  # no other direction is small
        rotation = u @ v_transposed
        exact = 2 * (x - rotation @ y), 2 * (y - rotation.swapaxes(1, 2) @ x)
        for gradient, expected in zip(gradients, exact, strict=True):
            error = np.linalg.norm((gradient - expected) * healthy, axis=(1, 2))
            np.testing.assert_array_less(error, 10 * root_eps * traces**0.5)


@pytest.mark.parametrize("rows", [300, 20_000])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_eigh_of_singular_batches_with_more_rows_than_columns_is_finite(rows, rank):
    x = features(0, rows, 64, dtype=np.float32)
    collapsed = features(1, rows, rank, dtype=np.float32) @ features(2, rank, 64, dtype=np.float32) + 3
    distance = functools.partial(buresgan_jax.squared_bures_distance_from_features, center=False)
    for pair in ((x, collapsed), (collapsed, x), (collapsed, collapsed)):
        fast, gradients = jax.value_and_grad(functools.partial(distance, method="eigh"), argnums=(0, 1))(*pair)
        np.testing.assert_allclose(fast, distance(*pair), rtol=1e-3, atol=1e-5 * np.sum(collapsed**2) / rows)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("rtol", [0.0, 1e-7, 1e-5])
def test_a_small_rtol_leaves_eighs_gradient_bounded(rtol):
    x, y = (features(seed, 64, 64, 1 / np.arange(1, 65) ** 2, dtype=np.float32) for seed in range(2))
    distance = functools.partial(buresgan_jax.squared_bures_distance_from_features, scale="sum")
    gradient = jax.grad(functools.partial(distance, method="eigh", rtol=rtol))(x, y)
    # Q shortens nothing by more than rounding and lengthens nothing much: 2 (F - Q R).
    assert np.linalg.norm(gradient) <= 4 * (np.linalg.norm(x) + np.linalg.norm(y))
