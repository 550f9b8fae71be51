"""Properties of every pair of covariance matrices, on examples that Hypothesis finds."""

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import strategies as st

from buresgan_jax import (
    bures_barycenter,
    bures_distance,
    bures_geodesic,
    fidelity,
    squared_bures_distance,
    squared_bures_distance_of_diagonals,
)

DIM = 4  # one size: every other one would be compiled anew
# The root of a singular matrix carries the root of eps.
TOLERANCE = 1e-7

pytestmark = pytest.mark.usefixtures("x64")
settings = hypothesis.settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
spectra = st.lists(st.sampled_from([0.0, 1e-12, 1e-6, 0.1, 1.0, 1.0, 2.0, 5.0]), min_size=DIM, max_size=DIM)


@st.composite
def bases(draw):
    seed = draw(st.integers(0, 2**31))
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))[0]


@st.composite
def covariances(draw):
    basis, spectrum = draw(bases()), np.array(draw(spectra))
    return basis * spectrum @ basis.T


@settings
@hypothesis.given(covariances(), covariances(), covariances())
def test_it_is_a_metric(a, b, c):
    distance = bures_distance(a, b)
    np.testing.assert_allclose(distance, bures_distance(b, a), atol=TOLERANCE**0.5)
    np.testing.assert_allclose(squared_bures_distance(a, b), squared_bures_distance(b, a), atol=TOLERANCE)
    assert distance <= bures_distance(a, c) + bures_distance(c, b) + TOLERANCE**0.5
    assert squared_bures_distance(a, a) <= TOLERANCE


@settings
@hypothesis.given(covariances(), covariances(), bases(), st.sampled_from([1e-9, 0.3, 7.0, 1e9]))
def test_rotation_changes_nothing_and_scale_only_the_scale(a, b, basis, scale):
    expected = squared_bures_distance(a, b)
    np.testing.assert_allclose(
        squared_bures_distance(basis @ a @ basis.T, basis @ b @ basis.T), expected, atol=TOLERANCE
    )
    np.testing.assert_allclose(squared_bures_distance(scale * a, scale * b) / scale, expected, atol=TOLERANCE)


@settings
@hypothesis.given(covariances(), covariances(), covariances(), covariances())
def test_blocks_add_up(a, b, c, d):
    whole = squared_bures_distance(scipy.linalg.block_diag(a, c), scipy.linalg.block_diag(b, d))
    np.testing.assert_allclose(whole, squared_bures_distance(a, b) + squared_bures_distance(c, d), atol=TOLERANCE)


@settings
@hypothesis.given(bases(), spectra, spectra)
def test_matrices_that_commute_differ_by_their_roots(basis, a, b):
    a, b = np.array(a), np.array(b)
    expected = np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    value = squared_bures_distance(basis * a @ basis.T, basis * b @ basis.T)
    np.testing.assert_allclose(value, expected, atol=TOLERANCE)
    np.testing.assert_allclose(squared_bures_distance_of_diagonals(a, b), expected, rtol=1e-12)


@settings
@hypothesis.given(covariances(), covariances(), covariances(), bases())
def test_bounds_and_monotonicity(a, b, c, basis):
    squared = squared_bures_distance(a, b)
    traces = np.trace(a), np.trace(b)
    assert squared <= sum(traces) + TOLERANCE
    assert squared >= (traces[0] ** 0.5 - traces[1] ** 0.5) ** 2 - TOLERANCE
    # Powers and Stormer: at most the trace norm of the difference.
    assert squared <= np.abs(np.linalg.eigvalsh(a - b)).sum() + TOLERANCE
    # The fidelity grows with its arguments, and projecting brings nearer.
    assert fidelity(a, b + c) >= fidelity(a, b) - TOLERANCE**0.5
    projector = basis[:, :2] @ basis[:, :2].T
    projected = squared_bures_distance(projector @ a @ projector, projector @ b @ projector)
    assert projected <= squared + TOLERANCE


@settings
@hypothesis.given(covariances(), covariances(), st.floats(0, 1))
def test_geodesics_are_shortest(a, b, t):
    point = bures_geodesic(a, b, t)
    assert np.linalg.eigvalsh(point)[0] >= -TOLERANCE
    detour = bures_distance(a, point) + bures_distance(point, b)
    np.testing.assert_allclose(detour, bures_distance(a, b), atol=TOLERANCE**0.5)


@settings
@hypothesis.given(covariances(), bases(), st.lists(spectra, min_size=3, max_size=3))
def test_barycenters_of_equal_and_of_commuting_matrices(a, basis, diagonals):
    np.testing.assert_allclose(bures_barycenter(jnp.stack([a, a, a])), a, atol=TOLERANCE)
    stack = np.stack([basis * np.array(diagonal) @ basis.T for diagonal in diagonals])
    expected = basis * np.sqrt(diagonals).mean(0) ** 2 @ basis.T
    np.testing.assert_allclose(bures_barycenter(stack), expected, atol=1e-5)
