"""Numbers near the ends of the range: what can be represented is finite, and right."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import buresgan_jax
from buresgan_jax.distances import METHODS

pytestmark = pytest.mark.usefixtures("x64")

LARGEST = float(np.finfo(np.float32).max)
SCALES = np.array([(1, 1e18), (1e18, 1), (1e-30, 1e30), (1e36, 1e-36), (1e37, 1e37), (1e-36, 1e-36)])


def trace_of(function):
    return lambda *matrices: jnp.trace(function(*matrices))


DIAGONAL = {  # `name: (function, value of diagonals a and b, derivative in a)`
    **{
        f"squared_bures_distance-{method}": (
            functools.partial(buresgan_jax.squared_bures_distance, method=method),
            lambda a, b: (np.sqrt(a) - np.sqrt(b)) ** 2,
            lambda a, b: 1 - np.sqrt(b / a),
        )
        for method in METHODS
        if method != "auto"
    },
    "fidelity": (buresgan_jax.fidelity, lambda a, b: np.sqrt(a) * np.sqrt(b), lambda a, b: np.sqrt(b / a) / 2),
    "bures_transport_map": (
        trace_of(buresgan_jax.bures_transport_map),
        lambda a, b: np.sqrt(b / a),
        lambda a, b: -np.sqrt(b / a) / a / 2,
    ),
    "inv_sqrtm": (
        lambda a, b: jnp.trace(buresgan_jax.inv_sqrtm(a)),
        lambda a, b: 1 / np.sqrt(a),
        lambda a, b: -1 / np.sqrt(a) / a / 2,
    ),
    "bures_barycenter": (
        lambda a, b: jnp.trace(buresgan_jax.bures_barycenter(jnp.stack([a, b]))),
        lambda a, b: (np.sqrt(a) / 2 + np.sqrt(b) / 2) ** 2,
        lambda a, b: (1 + np.sqrt(b / a)) / 4,
    ),
}


@pytest.mark.parametrize("name", DIAGONAL)
def test_matrices_of_very_different_scales_have_the_right_value_and_gradient(name):
    function, value, derivative = DIAGONAL[name]
    scales = SCALES[[0, 1, 4, 5]] if name == "bures_barycenter" else SCALES  # see SHORTFALLS
    a, b = scales[:, :1] * [1.0, 2, 3], scales[:, 1:] * [3.0, 1, 2]
    matrices = [each[..., None].astype(np.float32) * np.eye(3, dtype=np.float32) for each in (a, b)]
    found, gradient = jax.jit(jax.vmap(jax.value_and_grad(function)))(*matrices)
    np.testing.assert_allclose(found, value(a, b).sum(1), rtol=1e-4)
    gradient, exact = np.diagonal(gradient, axis1=1, axis2=2), derivative(a, b)
    fits = np.abs(exact) < LARGEST
    scale = np.abs(exact).max(1, keepdims=True, initial=1)
    np.testing.assert_array_less((np.abs(gradient - exact) / scale)[fits], 1e-3)
    assert np.isfinite(gradient).all()  # saturated where it does not fit


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("method", ["svd", "eigh", "newton_schulz"])
def test_the_distance_of_features_near_the_largest_number(method, normalize):
    x, y = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    distance = jax.value_and_grad(
        functools.partial(buresgan_jax.bures_distance_from_features, method=method, normalize=normalize)
    )
    expected, direction = distance(x, y)
    scale = np.float32(2.0**124)
    value, gradient = distance(scale * x, scale * y)
    assert value == expected * (1 if normalize else scale)
    np.testing.assert_array_equal(gradient, direction / (scale if normalize else 1))


def functions():
    """`name: (kinds of the arguments, function)`."""
    pairs = ("squared_bures_distance", "fidelity", "bures_distance")
    features = ("squared_bures_distance_from_features", "bures_distance_from_features")
    table = {
        f"{name}-{method}": (kinds, functools.partial(getattr(buresgan_jax, name), method=method))
        for names, kinds in ((pairs, "AA"), (features, "XX"))
        for name in names
        for method in METHODS
        if method != "auto"
    }
    table |= {name: ("AA", getattr(buresgan_jax, name)) for name in ("bures_transport_map", "frobenius_distance")}
    table |= {name: ("A", getattr(buresgan_jax, name)) for name in ("sqrtm", "inv_sqrtm")}
    table |= {
        "normalized": ("XX", functools.partial(buresgan_jax.bures_distance_from_features, normalize=True)),
        "weighted": ("XXww", buresgan_jax.bures_distance_from_features),
        "geodesic": ("AA", lambda a, b: buresgan_jax.bures_geodesic(a, b, 0.3)),
        "barycenter": ("AA", lambda a, b: buresgan_jax.bures_barycenter(jnp.stack([a, b]))),
        "wasserstein": ("mAmA", buresgan_jax.bures_wasserstein_distance),
        "diagonals": ("vv", buresgan_jax.squared_bures_distance_of_diagonals),
        "low_rank": ("XvXv", buresgan_jax.squared_bures_distance_low_rank),
    }
    return table


def draw(kind, random, dim=4, rows=6, exponent=37.5):
    """An array of a random scale, with one of five spectra."""
    scale = 10.0 ** random.uniform(-exponent, exponent - 1) if random.uniform() < 0.7 else 1.0
    if kind == "w":
        return random.uniform(0.1, 1, rows)
    if kind in "mv":
        return scale * random.normal(size=dim) ** (1 if kind == "m" else 2)
    tiny = 10.0 ** -random.uniform(0, 2 * exponent if kind == "A" else exponent)
    spectra = [1, 1, 1, 1], [1, 1 / 4, 1 / 9, 1 / 16], [1, 1, 1, tiny], [1, 1, 0, 0], [1, tiny, tiny, tiny]
    spectrum = np.array(spectra[random.integers(len(spectra))])
    if kind == "A":
        basis = np.linalg.qr(random.normal(size=(dim, dim)))[0] if random.uniform() < 0.5 else np.eye(dim)
        return scale * (basis * spectrum) @ basis.T
    return scale * random.uniform(-1, 1, (rows, dim)) * spectrum


# What falls short: the largest share of cases that are not finite. The matrix products of the first three resolve other
# directions in float64 than in float32; the last one's derivative by a matrix is too large for float32 on the way.
SHORTFALLS = {
    "squared_bures_distance-newton_schulz": 0.01,
    "squared_bures_distance-newton_schulz_15": 0.01,
    "fidelity-newton_schulz_15": 0.01,
    "barycenter": 0.01,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", functions())
def test_random_input_has_finite_values_and_gradients_where_float64_says_that_they_fit(name):
    kinds, function = functions()[name]
    random = np.random.default_rng(len(name))
    cases = [[draw(kind, random) for kind in kinds] for _ in range(500)]
    arguments = [np.stack(side).astype(np.float32) for side in zip(*cases, strict=True)]

    def derivatives(*arguments):
        gradients = jax.grad(lambda *arguments: function(*arguments).sum(), tuple(range(len(kinds))))(*arguments)
        return jnp.concatenate([jnp.ravel(each) for each in (function(*arguments), *gradients)])

    derivatives = jax.jit(jax.vmap(derivatives))
    exact = derivatives(*(argument.astype(np.float64) for argument in arguments))
    fits = (np.abs(exact) < LARGEST / 8).all(1)
    assert fits.mean() > 0.3
    assert np.mean(~np.isfinite(derivatives(*arguments)).all(1)[fits]) <= SHORTFALLS.get(name, 0)
