"""ResNets: parameter counts of the paper, values against NumPy, initializers, one update of BuresGAN."""

import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import algorithms, builders
from buresgan_jax.errors import UserError
from buresgan_jax.networks import ResNetDiscriminator, ResNetGenerator, resnet_discriminator, resnet_generator

CIFAR = pathlib.Path(__file__).parents[2] / "configs" / "cifar.py"
_GENERATOR = ResNetGenerator(start_size=2, num_blocks=2, width=4, channels=2)
_DISCRIMINATOR = ResNetDiscriminator(num_halvings=2, width=4, output_dim=3)


def _shapes(network, shape):
    """Number of parameters, and shapes of the outputs for a batch of two."""
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    variables = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), x)
    outputs = jax.eval_shape(functools.partial(network.apply, train=False), variables, x)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return count, jax.tree.map(lambda leaf: leaf.shape, outputs)


@pytest.mark.parametrize(
    ("image_size", "generator_params", "discriminator_params"),
    [(32, 2_702_803, 3_332_001), (48, 3_218_803, 4_093_401), (96, 3_980_203, 4_093_401)],
)
def test_parameter_counts_are_the_papers(image_size, generator_params, discriminator_params):
    images = (image_size, image_size, 3)
    assert _shapes(resnet_generator(image_size, 3), (128,)) == (generator_params, (2, *images))
    assert _shapes(resnet_discriminator(image_size), images) == (discriminator_params, ((2, 1), (2, 200), {}))


@pytest.mark.parametrize("size", [28, 64])
def test_other_sizes_are_refused(size):
    for builder in (functools.partial(resnet_generator, channels=3), resnet_discriminator):
        with pytest.raises(ValueError, match=f"do not support images of {size}x{size}. Allowed: 32, 48, 96. Resize"):
            builder(size)


@functools.cache
def _variables(network, shape):
    """Initial variables, with random scales and offsets in place of ones and zeros."""
    init = jax.jit(functools.partial(network.init, train=False))
    variables = jax.device_get(init(jax.random.key(0), jnp.zeros((2, *shape))))
    random = np.random.default_rng(0)

    def shake(path, leaf):
        return leaf if path[-1].key == "kernel" else leaf + 0.3 * random.normal(size=leaf.shape).astype(np.float32)

    return variables | {"params": jax.tree_util.tree_map_with_path(shake, variables["params"])}


class _Reference:
    """Layers in NumPy and float64; the n-th call of a kind takes that kind's n-th parameters."""

    def __init__(self, params):
        self._params, self._used = params, {}

    def _next(self, kind):
        number = self._used.get(kind, 0)
        self._used[kind] = number + 1
        return {name: np.float64(value) for name, value in self._params[f"{kind}_{number}"].items()}

    def dense(self, x):
        params = self._next("Dense")
        return x @ params["kernel"] + params["bias"]

    def conv(self, x):
        params = self._next("Conv")
        (height, width), pad = x.shape[1:3], params["kernel"].shape[0] // 2
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        taps = np.ndindex(params["kernel"].shape[:2])
        return params["bias"] + sum(padded[:, i : i + height, j : j + width] @ params["kernel"][i, j] for i, j in taps)

    def norm(self, x, kind, axes):
        params = self._next(kind)
        x = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        return x * params["scale"] + params["bias"]


def _relu(x):
    return np.maximum(x, 0)


def _mean_pool(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def test_generator_equals_numpy():
    z = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    variables = _variables(_GENERATOR, (5,))
    apply = jax.jit(functools.partial(_GENERATOR.apply, train=True, mutable=["batch_stats"]))
    actual, updates = apply(variables, z)
    net = _Reference(variables["params"])
    x = net.dense(np.float64(z)).reshape(6, 2, 2, 4)
    for _ in range(2):
        shortcut = net.conv(x.repeat(2, 1).repeat(2, 2))
        x = _relu(net.norm(x, "BatchNorm", (0, 1, 2))).repeat(2, 1).repeat(2, 2)
        x = _relu(net.norm(net.conv(x), "BatchNorm", (0, 1, 2)))
        x = net.conv(x) + shortcut
    expected = np.tanh(net.conv(_relu(net.norm(x, "BatchNorm", (0, 1, 2)))))
    assert expected.std() > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(updates))


def test_discriminator_equals_numpy():
    x = np.random.default_rng(2).normal(size=(5, 8, 8, 2)).astype(np.float32)
    variables = _variables(_DISCRIMINATOR, (8, 8, 2))
    assert set(variables) == {"params"}
    actual = jax.jit(functools.partial(_DISCRIMINATOR.apply, train=True))(variables, x)
    net = _Reference(variables["params"])
    x = np.float64(x)
    x = net.conv(_mean_pool(x)) + _mean_pool(net.conv(_relu(net.conv(x))))
    for kind in ("down", "same", "same"):
        shortcut = _mean_pool(net.conv(x)) if kind == "down" else x
        y = net.conv(_relu(net.norm(x, "LayerNorm", (1, 2, 3))))
        y = net.conv(_relu(net.norm(y, "LayerNorm", (1, 2, 3))))
        x = (_mean_pool(y) if kind == "down" else y) + shortcut
    features = _relu(x).mean((1, 2))
    assert actual[2] == {}
    for a, b in zip(actual[:2], (net.dense(features), features), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_kernels_of_blocks_are_he_uniform_and_all_others_glorot_uniform():
    for network, shape in ((_GENERATOR, (5,)), (_DISCRIMINATOR, (8, 8, 2))):
        for path, leaf in jax.tree_util.tree_leaves_with_path(_variables(network, shape)["params"]):
            if path[-1].key == "kernel":
                *window, fan_in, fan_out = leaf.shape
                in_block = window == [3, 3] and fan_out == 4  # the last convolution has two channels
                limit = np.sqrt((12 if in_block else 6) / (np.prod(window) * (fan_in + fan_out)))
                assert 0.7 * limit < np.abs(leaf).max() <= limit, path


def _cifar_config(image_size=32):
    spec = importlib.util.spec_from_file_location("cifar", CIFAR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("bures,smoke")
    config.generator.name = config.discriminator.name = "resnet"
    config.generator.width = 6
    config.data.image_size = image_size
    config.optimizer.b1 = 0.0
    return config


def test_a_config_chooses_both_networks_and_their_widths():
    game = builders.game(_cifar_config(), "batch")
    assert game.generator == ResNetGenerator(start_size=4, num_blocks=3, width=6, axis_name="batch")
    assert game.discriminator == ResNetDiscriminator(num_halvings=3, width=4, axis_name="batch")
    with pytest.raises(UserError, match="ResNets do not support images of 64x64. Allowed: 32, 48, 96"):
        builders.game(_cifar_config(image_size=64), None)


def test_one_update_moves_every_parameter():
    small = {
        "generator": ResNetGenerator(start_size=2, num_blocks=1, width=4),
        "discriminator": ResNetDiscriminator(num_halvings=1, width=4),
    }
    algorithm = algorithms.gan(builders.game(_cifar_config(), None)._replace(**small))
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros((4, 4, 3), np.float32))
    images = np.random.default_rng(0).uniform(-1, 1, (1, 4, 4, 4, 3)).astype(np.float32)
    real = algorithms.Batch(images, np.zeros((1, 4), np.int32))
    new, metrics = jax.jit(algorithm.update)(state, real, jax.random.key(1))
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["bures"] > 0
    for old, moved in ((state.generator, new.generator), (state.discriminator, new.discriminator)):
        for path, leaf in jax.tree_util.tree_leaves_with_path(jax.tree.map(jnp.subtract, old.params, moved.params)):
            assert np.any(leaf), path
    assert all(np.any(leaf) for leaf in jax.tree.leaves(new.ema["batch_stats"]))
