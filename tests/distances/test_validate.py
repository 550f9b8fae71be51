"""Checks of values: bad values are rejected, and the message names them."""

import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax.distances import validate


def test_good_input_passes():
    a = np.diag([1.0, 0.0]).astype(np.float32)
    validate.covariances(cov_x=a, cov_y=np.stack([a, a]))
    validate.features(x=np.ones((3, 2)), y=np.zeros((4, 2)))
    x = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)  # singular: rounding makes it indefinite
    validate.covariances(cov=np.cov(x.T).astype(np.float32))


def test_bad_covariances_are_named():
    good = np.eye(3)
    skew = good.copy()
    skew[0, 1] = 0.5
    with pytest.raises(ValueError, match="cov_y is not symmetric: entries differ from their mirror by 0.5"):
        validate.covariances(cov_x=good, cov_y=skew)
    with pytest.raises(
        ValueError, match=r"cov is not positive semidefinite: it has eigenvalue -1 \(matrix \(1,\) of the"
    ):
        validate.covariances(cov=np.stack([good, np.diag([1.0, 1, -1])]))
    with pytest.raises(ValueError, match=r"cov has 1 values that are not finite, the first is nan at index \(0, 1\)"):
        validate.covariances(cov=np.where(np.eye(3, k=1) * [0, 1, 0] > 0, np.nan, good))
    with pytest.raises(ValueError, match="equal dim"):
        validate.covariances(a=good, b=np.eye(2))
    validate.covariances(rtol=1, cov=skew)


def test_bad_features_are_named():
    with pytest.raises(ValueError, match=r"y has 2 values that are not finite, the first is inf at index \(1, 0\)"):
        validate.features(x=np.ones((2, 2)), y=np.array([[0, 0], [np.inf, np.nan]]))
    with pytest.raises(ValueError, match="x must be a non-empty batch"):
        validate.features(x=np.ones((0, 2)))
    with pytest.raises(TypeError, match="x must be float64, .* or float16, got int64"):
        validate.features(x=np.ones((2, 2), np.int64))


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16])
def test_rounding_to_half_precision_is_no_fault(dtype):
    x = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)
    validate.covariances(cov=np.cov(x.T).astype(dtype))
    validate.features(x=x.astype(dtype))
