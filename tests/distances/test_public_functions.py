"""Every function of the array API under JAX's transformations, for other platforms, and in batches."""

import functools
import inspect
import typing

import jax
import numpy as np
import pytest

import buresgan_jax
from buresgan_jax import penalties


def covariance(seed, dim=4):
    x = features(seed, dim + 3, dim)
    return x.T @ x / dim


def features(seed, n, dim=4):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def cases():
    """`name: (function, arguments)` for every public function and methods of the two central ones."""
    pair = covariance(0), covariance(1)
    x, y = features(0, 6), features(1, 5)
    stack = np.stack([*pair, covariance(2)])
    weights = np.array([0.2, 0.5, 0.3], np.float32)
    row, diagonal = features(2, 2), np.ones(1, np.float32)
    table = {
        "bures_barycenter": (stack, weights),
        "bures_distance": pair,
        "bures_distance_from_features": (x, y),
        "bures_geodesic": (*pair, np.float32(0.3)),
        "bures_penalty": (x, y),
        "bures_transport_map": pair,
        "bures_wasserstein_distance": (row[0], pair[0], row[1], pair[1]),
        "fidelity": pair,
        "frobenius_distance": pair,
        "inv_sqrtm": pair[:1],
        "nearest_neighbor_cross_entropy": (x, y),
        "nearest_neighbor_entropy": (x,),
        "pairwise_squared_bures_distance": (stack, stack[:2]),
        "sqrtm": pair[:1],
        "squared_bures_distance": pair,
        "squared_bures_distance_from_features": (x, y),
        "squared_bures_distance_low_rank": (row[:1], diagonal, row[1:], 2 * diagonal),
        "squared_bures_distance_of_diagonals": (row[0] ** 2, row[1] ** 2),
        "squared_bures_wasserstein_distance": (row[0], pair[0], row[1], pair[1]),
        "squared_frobenius_distance": pair,
        "squared_frobenius_distance_from_features": (x, y),
        "squared_neighbor_distances": (x, y),
    }
    table = {name: (getattr(buresgan_jax, name), arguments) for name, arguments in table.items()}
    function, arguments = table["squared_bures_distance"]
    for method in ("eigh", "svd", "newton_schulz", "newton_schulz_15", "auto"):
        table[f"squared_bures_distance-{method}"] = (functools.partial(function, method=method), arguments)
    function, arguments = table["squared_bures_distance_from_features"]
    for method in ("eigh", "newton_schulz"):
        table[f"from_features-{method}"] = (functools.partial(function, method=method), arguments)
    large = tuple(np.kron(np.eye(10, dtype=np.float32), matrix) for matrix in pair)
    table["squared_bures_distance-auto-large"] = (table["squared_bures_distance-auto"][0], large)
    function, arguments = table["squared_bures_distance_from_features"]
    table["weighted"] = (function, (*arguments, np.ones(6, np.float32), np.ones(5, np.float32)))
    return table


CASES = cases()
FUNCTIONS = pytest.mark.parametrize("name", CASES)


def test_every_public_function_is_tested_here():
    exported = {name for name in buresgan_jax.__all__ if callable(getattr(buresgan_jax, name))}
    exported -= {"load_generator", "bourgain_embedding"}  # no functions of arrays in jit
    # Of single batches: test_mmd.py.
    exported -= {
        "cauchy_kernel",
        "gaussian_kernel",
        "linear_kernel",
        "mmd_witness",
        "rational_quadratic_kernel",
        "squared_mmd",
    }
    assert {getattr(function, "func", function).__name__ for function, _ in CASES.values()} == exported


# These take one batch.
SINGLE = ("bures_penalty", "nearest_neighbor_entropy", "nearest_neighbor_cross_entropy", "squared_neighbor_distances")


@pytest.mark.parametrize("name", [name for name in CASES if name not in SINGLE])
def test_batched_and_broadcast_equal_single(name):
    function, arguments = CASES[name]
    expected = function(*arguments)
    assert expected.dtype == np.float32
    first, *others = (np.stack([argument, argument / 2, argument / 4]) for argument in arguments)
    batched = function(first[:2, None], *others) if others else function(first[:2, None])
    assert batched.shape == (2, 3 if others else 1, *expected.shape)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(batched[0, 0], expected)
    close(batched[1, -1], function(first[1], *(other[2] for other in others)))


@FUNCTIONS
def test_nan_runs_through(name):
    function, arguments = CASES[name]
    assert np.isnan(function(np.full_like(arguments[0], np.nan), *arguments[1:])).any()


@FUNCTIONS
def test_value_and_gradient_lower_for_tpu_and_cuda(name):
    function, arguments = CASES[name]
    scalar = lambda *arguments: function(*arguments).sum()  # noqa: E731
    exported = jax.export.export(jax.jit(jax.value_and_grad(scalar)), platforms=["tpu", "cuda"])(*arguments)
    assert exported.platforms == ("tpu", "cuda")


@FUNCTIONS
def test_gradient_in_both_modes_under_pmap_checkpoint_and_debug_nans(name):
    function, arguments = CASES[name]
    scalar = jax.checkpoint(lambda *arguments: function(*arguments).sum())
    stacked = [np.stack([argument] * jax.device_count()) for argument in arguments]
    tangent = np.random.default_rng(3).normal(size=arguments[0].shape).astype(np.float32)
    with jax.debug_nans(True):
        gradient = jax.pmap(jax.grad(scalar))(*stacked)[-1]
        assert np.any(gradient)
        forward = jax.jvp(lambda first: scalar(first, *arguments[1:]), (arguments[0],), (tangent,))[1]
    np.testing.assert_allclose(forward, np.sum(gradient * tangent), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("replicated", [None, 0, 1])
@pytest.mark.parametrize("name", ["bures_barycenter", "squared_bures_distance-newton_schulz_15", "roots_by_products"])
def test_loops_are_traced_inside_shard_map_with_its_checks(name, replicated):
    roots_by_products = (
        functools.partial(buresgan_jax.squared_bures_distance, method="newton_schulz"),
        2 * CASES["sqrtm"][1],
    )
    function, arguments = CASES.get(name, roots_by_products)
    specs = tuple(jax.P() if index == replicated else jax.P("batch") for index in range(2))
    gradient = jax.grad(lambda *arguments: function(*arguments).sum(), (0, 1))
    mapped = jax.shard_map(
        lambda x, y: gradient(x if replicated == 0 else x[0], y if replicated == 1 else y[0]),
        mesh=jax.sharding.Mesh(np.array(jax.devices()[:2]), "batch"),
        in_specs=specs,
        out_specs=specs,
    )
    stacked = [each if spec == jax.P() else np.stack([each] * 2) for each, spec in zip(arguments, specs, strict=True)]
    assert len(jax.eval_shape(mapped, *stacked)) == 2


@FUNCTIONS
def test_half_precision_goes_in_and_comes_out(name):
    function, arguments = CASES[name]
    arguments = [jax.ShapeDtypeStruct(argument.shape, jax.numpy.bfloat16) for argument in arguments]
    value, gradient = jax.eval_shape(jax.value_and_grad(lambda *arguments: function(*arguments).sum()), *arguments)
    assert value.dtype == gradient.dtype == jax.numpy.bfloat16


@pytest.mark.parametrize("dtype", [jax.numpy.float16, jax.numpy.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y = features(0, 6).astype(dtype), features(1, 5).astype(dtype)
    function = jax.value_and_grad(buresgan_jax.squared_bures_distance_from_features)
    for found, expected in zip(function(x, y), function(x.astype(np.float32), y.astype(np.float32)), strict=True):
        np.testing.assert_array_equal(found, expected.astype(dtype))
    with pytest.raises(TypeError, match="needs arrays of equal dtypes, got .*float16, float32. Convert them to one"):
        function(x, y.astype(np.float32))


# Calls that do not fit


@pytest.mark.parametrize(
    ("function", "arguments", "options", "message"),
    [
        ("bures_distance", 2, ("svd",), r"by position \(cov_x, cov_y\), got 'svd'. Options go by name: method='svd'."),
        ("bures_distance_from_features", 2, ("sum",), "got 'sum'. Options go by name: scale='sum'."),
        (
            "bures_distance_from_features",
            2,
            ("sdv",),
            "got 'sdv'. .* center, normalize, scale, method, rtol.",
        ),
        ("bures_barycenter", 2, (50,), r"\(covs, weights\), got 50. Options go by name: max_iterations, rtol."),
        ("frobenius_distance", 3, (), "got 3 arrays. It has no options."),
        ("bures_penalty", 2, ("sum",), "got 'sum'. Options go by name: scale='sum'."),
        ("frobenius_penalty", 2, ("mean",), "got 'mean'. Options go by name: scale='mean'."),
        ("gdpp_penalty", 2, (True,), "got True. Options go by name: signed."),
    ],
)
def test_an_option_by_position_is_explained(function, arguments, options, message):
    arrays = [covariance(0)] * arguments
    with pytest.raises(TypeError, match=f"^{function} takes only arrays .*{message}$"):
        (getattr(buresgan_jax, function, None) or getattr(penalties, function))(*arrays, *options)


def test_an_unknown_argument_is_explained():
    pair = covariance(0), covariance(1)
    with pytest.raises(TypeError, match="^bures_distance has no argument 'metod'. Did you mean 'method'?"):
        buresgan_jax.bures_distance(*pair, metod="svd")
    with pytest.raises(TypeError, match="^bures_distance has no argument 'x'. It has cov_x, cov_y, method.$"):
        buresgan_jax.bures_distance(*pair, x=1)


@FUNCTIONS
def test_types_and_signatures_outlive_compilation(name):
    function = getattr(CASES[name][0], "func", CASES[name][0])
    hints = typing.get_type_hints(function)
    assert hints.keys() == {*inspect.signature(function).parameters, "return"}
    assert hints["return"] == jax.Array
    arrays = [each for each in hints.values() if np.ndarray in map(typing.get_origin, typing.get_args(each))]
    assert len(arrays) >= len(CASES[name][1])
    assert function.__doc__.startswith("Computes")
