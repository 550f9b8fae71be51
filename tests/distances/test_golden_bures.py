"""Accuracy against 50-digit arithmetic: the stated limits in both precisions, for values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import bures as golden_bures

from buresgan_jax import squared_bures_distance

CASES = golden_bures.load()
EPS = {dtype: float(np.finfo(dtype).eps) / float(np.finfo(np.float32).eps) for dtype in (np.float32, np.float64)}


def is_regular(*matrices):
    return golden_bures.condition_number(*matrices) <= 1e4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_values_are_within_the_stated_limits(x64, name, dtype):
    case = CASES[name]
    x, y = (case[field].astype(dtype) for field in "xy")
    traces = np.trace(case["x"].astype(float)) + np.trace(case["y"].astype(float))
    value = float(squared_bures_distance(x, y))
    assert value >= 0
    error = abs(value - case["value"])
    if name.startswith("equal"):
        assert error <= 1e-6 * EPS[dtype] * traces
    elif is_regular(x, y):
        assert error <= EPS[dtype] * max(1e-5 * case["value"], 2e-7 * traces)
    else:  # the problem itself turns eps into its root
        assert error <= 5e-4 * EPS[dtype] ** 0.5 * traces


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]["gradient"] is not None])
@pytest.mark.parametrize("method", ["eigh", "svd", "newton_schulz"])
def test_float32_gradients_are_within_the_stated_limit(name, method):
    case = CASES[name]
    x, y = jnp.asarray(case["x"]), jnp.asarray(case["y"])
    gradient = jax.grad(functools.partial(squared_bures_distance, method=method))(x, y)
    if name.startswith("equal"):  # the exact gradient is zero: compare with the two identities that cancel
        assert jnp.linalg.norm(gradient) <= 1e-4 * len(x) ** 0.5
        return
    assert is_regular(x, y)
    # Rounding the input moves the exact gradient by up to eps times the condition number: beyond 1e-4 from 1e3 on. One
    # case is there: 1/k^2 of dim 64 (6e3), with an error of 1.2e-4; a random change of x by half an eps gives 2e-5.
    limit = max(1e-4, 2.0**-24 * golden_bures.condition_number(x, y))
    assert jnp.linalg.norm(gradient - case["gradient"]) <= limit * np.linalg.norm(case["gradient"])
