"""Batch norm: Linen's, with sums over the batch that are products where there are many features."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from buresgan_jax.networks import BatchNorm

_WIDE = (6, 16_392)
_shapes = pytest.mark.parametrize("shape", [(6, 40), (4, 3, 5, 7), _WIDE], ids=["narrow", "images", "wide"])


def _inputs(*shape):
    return jax.random.normal(jax.random.key(len(shape)), shape)


def _spread(*shape):
    """Inputs of which every feature has mean 0.5 and variance 1.

    By chance the six rows of some feature are nearly equal, where derivatives in float32 are off: the second ones by
    2e-4, Linen's too (beside float64).
    """
    x, rows = _inputs(*shape), tuple(range(len(shape) - 1))
    return 0.5 + (x - x.mean(rows, keepdims=True)) / x.std(rows, keepdims=True)


def _variables(layer, x):
    """Random parameters and moving statistics."""
    leaves, structure = jax.tree.flatten(jax.eval_shape(layer.init, jax.random.key(0), x))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    values = [1 + 0.3 * jax.random.normal(key, leaf.shape) ** 2 for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, values)


def _pair(train):
    return BatchNorm(train=train), nn.BatchNorm(use_running_average=not train, momentum=0.99, epsilon=1e-3)


def test_batch_norm_has_the_momentum_and_eps_of_keras():
    x = 3 + 2 * _inputs(8, 5, 5, 4)
    layer = BatchNorm(train=True)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    y, updates = jax.jit(functools.partial(layer.apply, mutable=["batch_stats"]))(variables, x)
    reference = np.asarray(x, np.float64)
    mean, variance = reference.mean((0, 1, 2)), reference.var((0, 1, 2))
    np.testing.assert_allclose(y, (reference - mean) / np.sqrt(variance + 1e-3), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["mean"], 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(updates["batch_stats"]["var"], 0.99 + 0.01 * variance, rtol=1e-5)


def test_batch_norm_variance_keeps_precision_far_from_zero():
    """The fast formula E[x^2] - E[x]^2 loses (mean / std)^2 roundings; networks stay where that is harmless."""
    x = 30 + _inputs(64, 5, 5, 4)
    layer = BatchNorm(train=True)
    y, _ = jax.jit(layer.init_with_output)(jax.random.key(0), x)
    reference = np.asarray(x, np.float64)
    expected = (reference - reference.mean((0, 1, 2))) / np.sqrt(reference.var((0, 1, 2)) + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


@_shapes
@pytest.mark.parametrize("train", [True, False])
def test_values_statistics_and_gradients_are_those_of_linen(shape, train):
    x, results = _spread(*shape), []
    for layer in _pair(train):
        variables = _variables(layer, x)

        def loss(params, x, layer=layer, variables=variables):
            y, updates = layer.apply({**variables, "params": params}, x, mutable=["batch_stats"])
            return jnp.sin(y + x).sum(), (y, updates)

        gradients = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
        results.append((jax.tree.structure(variables), gradients(variables["params"], x)))
    (ours_structure, ours), (linen_structure, linen) = results
    assert ours_structure == linen_structure
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), ours, linen)


@pytest.mark.parametrize("shape", [(6, 40), _WIDE], ids=["narrow", "wide"])
def test_second_derivatives_and_forward_mode_are_those_of_linen(shape):
    x, direction, results = _spread(*shape), _inputs(*shape)[::-1], []
    for layer in _pair(True):
        variables = _variables(layer, x)

        def loss(x, layer=layer, variables=variables):
            return jnp.sin(layer.apply(variables, x, mutable=["batch_stats"])[0]).sum()

        by_direction = jax.jit(jax.grad(lambda x, loss=loss: jax.jvp(loss, (x,), (direction,))[1]))
        results.append(by_direction(x))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)


def test_the_sums_of_many_features_are_products_and_those_of_few_are_not():
    for shape, is_wide in (((6, 40), False), (_WIDE, True)):
        x, layer = _inputs(*shape), BatchNorm(train=True)
        variables = _variables(layer, x)

        def loss(x, layer=layer, variables=variables):
            return layer.apply(variables, x, mutable=["batch_stats"])[0][0].sum()

        text = jax.jit(jax.grad(loss)).trace(x).lower(lowering_platforms=("cpu",)).as_text()
        rows = f"tensor<{shape[0]}x{shape[1]}xf32>"
        lines = [line for line in text.splitlines() if rows in line]
        products = sum("stablehlo.dot_general" in line for line in lines)
        sums = sum("stablehlo.reduce(" in line for line in lines)
        assert products >= 4 and sums == 0 if is_wide else products == 0 and sums > 0


@pytest.mark.parametrize("shape", [(8, 40), (8, *_WIDE[1:])], ids=["narrow", "wide"])
def test_devices_share_the_statistics_of_the_global_batch(shape):
    x, layer = _inputs(*shape), BatchNorm(train=True, axis_name="devices")
    variables = _variables(BatchNorm(train=True), x)
    whole = BatchNorm(train=True).apply(variables, x, mutable=["batch_stats"])
    apply = jax.pmap(functools.partial(layer.apply, mutable=["batch_stats"]), "devices", in_axes=(None, 0))
    y, updates = apply(variables, x.reshape(4, 2, -1))
    np.testing.assert_allclose(y.reshape(x.shape), whole[0], rtol=1e-5, atol=1e-5)
    for device in range(4):
        jax.tree.map(lambda a, b, device=device: np.testing.assert_allclose(a[device], b, rtol=1e-5), updates, whole[1])


def test_many_seeds_are_one_after_the_other():
    x, layer = _inputs(3, *_WIDE), BatchNorm(train=True)
    variables = _variables(layer, x[0])
    apply = functools.partial(layer.apply, variables, mutable=["batch_stats"])
    together = jax.jit(jax.vmap(apply))(x)
    one_by_one = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(jax.jit(apply), x))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), together, one_by_one)


@_shapes
@pytest.mark.parametrize("train", [True, False])
def test_half_precision_has_statistics_in_float32(shape, train):
    x = _inputs(*shape).astype(jnp.bfloat16)
    layer = BatchNorm(train=train, dtype=jnp.bfloat16)
    variables = _variables(layer, x)
    y, updates = jax.jit(functools.partial(layer.apply, mutable=["batch_stats"]))(variables, x)
    exact, exact_updates = BatchNorm(train=train).apply(variables, x.astype(jnp.float32), mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} <= {jnp.dtype("float32")}
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=1e-2, atol=1e-2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, exact_updates)


def test_double_precision_stays(x64):
    x = np.random.default_rng(0).normal(size=(16, 6))
    y, _ = BatchNorm(train=True, eps=0.0).init_with_output(jax.random.key(0), x)
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, (x - x.mean(0)) / x.std(0), rtol=1e-12, atol=1e-12)
