"""Spectral norms by power iteration, against singular values of dense matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import ops

CASES = [(size, kernel, strides) for size in (6, 7) for kernel, strides in ((3, 1), (4, 2), (5, 2))]


def operators(size, window, strides, transposed=False):
    random = np.random.default_rng(size + window)
    kernel = jnp.asarray(random.normal(size=(window, window, 2, 3)), jnp.float32)
    convolve = ops.conv_transpose2d if transposed else ops.conv2d
    operator = lambda x: convolve(x[None], kernel, strides=(strides, strides))[0]  # noqa: E731
    return kernel, operator, jax.ShapeDtypeStruct((size, size, 2), jnp.float32)


def converged(operator, like, num_iterations):
    vector = jax.random.normal(jax.random.key(0), like.shape)
    vector = vector / jnp.linalg.norm(vector.ravel())
    return jax.jit(functools.partial(ops.spectral_norm, operator, num_iterations=num_iterations))(vector)[0]


@pytest.mark.parametrize(("size", "window", "strides"), CASES)
def test_the_norm_of_a_convolution_is_the_largest_singular_value(size, window, strides):
    kernel, operator, like = operators(size, window, strides)
    exact = ops.exact_spectral_norm(operator, like.shape)
    for form in ((operator, like), ops.on_smaller_side(operator, like)):
        # This 5x5 kernel has two singular values that are almost equal.
        np.testing.assert_allclose(converged(*form, num_iterations=1000 if window == 5 else 100), exact, rtol=1e-4)
    # The norm of the kernel as a matrix is smaller, by a factor of at most the patches along one side of a pixel.
    of_kernel = np.linalg.norm(np.asarray(kernel).reshape(-1, kernel.shape[-1]), 2)
    assert of_kernel <= exact * (1 + 1e-5)
    assert exact <= -(-window // strides) * of_kernel * (1 + 1e-5)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("size", "window", "strides"), CASES)
def test_the_transpose_is_the_adjoint(size, window, strides, transposed):
    _, operator, like = operators(size, window, strides, transposed)
    v = jax.random.normal(jax.random.key(0), like.shape)
    y = operator(v)
    u = jax.random.normal(jax.random.key(1), y.shape)
    np.testing.assert_allclose(jnp.vdot(y, u), jnp.vdot(v, ops.transpose(operator, like)(u)), rtol=1e-4)


def test_the_vector_lies_on_the_smaller_side():
    matrix = jnp.ones((5, 3))
    _, like = ops.on_smaller_side(lambda v: v @ matrix, jax.ShapeDtypeStruct((5,), jnp.float32))
    assert like.shape == (3,)
    one, like = ops.on_smaller_side(lambda v: v @ matrix[:, :1], jax.ShapeDtypeStruct((5,), jnp.float32))
    norm, _ = ops.power_iteration(one, jnp.ones(like.shape))  # exact without iterations
    np.testing.assert_allclose(norm, 5**0.5, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_the_derivative_of_a_converged_norm_is_that_of_the_singular_value():
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)))
    _, _, right = np.linalg.svd(matrix.T)
    estimate = lambda matrix: ops.power_iteration(lambda v: v @ matrix, jnp.asarray(right[0]))[0]  # noqa: E731
    exact = jax.grad(lambda matrix: jnp.linalg.svd(matrix, compute_uv=False)[0])(matrix)
    np.testing.assert_allclose(jax.grad(estimate)(matrix), exact, atol=1e-12)


def test_an_operator_of_zeros_gives_no_nan():
    zero = lambda kernel: ops.power_iteration(lambda v: v @ kernel, jnp.ones(3) / 3**0.5)  # noqa: E731
    norm, vector = zero(jnp.zeros((3, 2)))
    assert norm >= 0
    assert np.isfinite(vector).all()
    assert np.isfinite(jax.grad(lambda kernel: zero(kernel)[0])(jnp.zeros((3, 2)))).all()
