"""The networks of spectrally normalized GANs, and spectral normalization of others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import networks, ops

OPTIONS = {"axis_name": None, "dtype": None}


def num_params(module, inputs):
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), inputs, train=True))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    ("size", "of_generator", "of_discriminator"),
    [(32, 3_811_907, 5_983_760), (48, 5_151_299, 6_147_600), (64, 13_258_307, 23_942_672)],
)
def test_numbers_of_parameters_are_the_papers(size, of_generator, of_discriminator):
    shape = (size, size, 3)
    generator = networks.generator_sngan.build(shape, base_filters=64, **OPTIONS)
    discriminator = networks.discriminator_sngan.build(shape, base_filters=64, output_dim=16, **OPTIONS)
    assert num_params(generator, jnp.zeros((2, 128))) == of_generator
    assert num_params(discriminator, jnp.zeros((2, *shape))) == of_discriminator
    fakes = jax.eval_shape(lambda: generator.init_with_output(jax.random.key(0), jnp.zeros((2, 128)), train=True)[0])
    assert fakes.shape == (2, *shape)


def test_an_impossible_size_is_explained():
    with pytest.raises(ValueError, match="33x33"):
        networks.generator_sngan.build((33, 33, 3), base_filters=4, **OPTIONS)


def test_initial_laws():
    generator = networks.generator_sngan.build((32, 32, 3), base_filters=16, **OPTIONS)
    discriminator = networks.discriminator_sngan.build((32, 32, 3), base_filters=16, output_dim=16, **OPTIONS)
    made = jax.jit(functools.partial(generator.init, train=True))(jax.random.key(0), jnp.zeros((2, 128)))["params"]
    np.testing.assert_allclose(made["ConvTranspose_0"]["kernel"].std(), (2 / (16 * 64)) ** 0.5, rtol=0.02)
    made = jax.jit(functools.partial(discriminator.init, train=True))(jax.random.key(0), jnp.zeros((2, 32, 32, 3)))
    kernel = made["params"]["Conv_1"]["kernel"]  # 4x4, from 16 channels
    np.testing.assert_allclose(kernel.std(), (2 / 1.01 / (16 * 16)) ** 0.5, rtol=0.02)
    assert 0 < np.abs(made["params"]["Conv_1"]["bias"]).max() < 1e-4


DISCRIMINATORS = {
    "mlp": (networks.MLPDiscriminator((8, 8), 3), (2,)),
    "dcgan": (networks.DCGANDiscriminator(2, 4, 3, use_batch_norm=False), (8, 8, 2)),
    "sngan": (networks.SNGANDiscriminator(1, 4, 3), (8, 8, 2)),
    "resnet": (networks.ResNetDiscriminator(2, 4, 3), (8, 8, 2)),
}


@pytest.mark.parametrize(("name", "kind"), [*((name, "operator") for name in DISCRIMINATORS), ("sngan", "kernel")])
def test_any_discriminator_takes_spectral_normalization(name, kind):
    network, shape = DISCRIMINATORS[name]
    module = networks.SpectralNormalization(network, kind, multiplier=1.5, warm_up=2)
    x = jax.random.normal(jax.random.key(1), (4, *shape))
    variables = jax.jit(functools.partial(module.init, train=True))(jax.random.key(0), x)
    layers = variables["params"]["network"]
    assert set(variables["spectral"]) == {f"network.{layer}" for layer in layers if "LayerNorm" not in layer}
    train = jax.jit(functools.partial(module.apply, train=True, mutable=["spectral"]))
    (outputs, features, _), changed = train(variables, x)
    assert outputs.shape == (4, 3)
    before, after = (jax.tree.leaves(each) for each in (variables["spectral"], changed["spectral"]))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))
    norms = [np.linalg.norm(np.ravel(vector)) for vector in after]
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    evaluate = jax.jit(functools.partial(module.apply, train=False))
    np.testing.assert_allclose(evaluate(variables, x)[0], outputs, rtol=1e-4, atol=1e-5)


def test_layers_get_the_norm_of_the_multiplier_and_keep_their_biases():
    network, shape = DISCRIMINATORS["sngan"]
    module = networks.SpectralNormalization(network, multiplier=1.5, warm_up=200)
    x = jax.random.normal(jax.random.key(1), (4, *shape))
    variables = jax.jit(functools.partial(module.init, train=True))(jax.random.key(0), x)
    params = variables["params"]["network"]
    scaled = {"params": dict(params)}
    outputs = jax.jit(functools.partial(module.apply, train=False))(variables, x)[0]
    for name, size, strides in (("Conv_0", 8, 1), ("Conv_1", 8, 2), ("Conv_2", 4, 1)):
        own = params[name]["kernel"]
        convolve = functools.partial(ops.conv2d, kernel=own, strides=(strides, strides))
        own_norm = ops.exact_spectral_norm(
            lambda v, convolve=convolve: convolve(v[None])[0], (size, size, own.shape[2])
        )
        scaled["params"][name] = {**params[name], "kernel": own * 1.5 / own_norm}
    dense = params["Dense_0"]["kernel"]
    scaled["params"]["Dense_0"] = {**params["Dense_0"], "kernel": dense * 1.5 / np.linalg.norm(dense, 2)}
    np.testing.assert_allclose(outputs, network.apply(scaled, x, train=False)[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("multiplier", "is_lipschitz"), [(1.5, True), (4.5, False)])
def test_the_whole_network_is_lipschitz(multiplier, is_lipschitz):
    """With all activations positive it is linear, and its steepest direction comes near to the bound of the layers."""
    network, shape = DISCRIMINATORS["sngan"]
    module = networks.SpectralNormalization(network, multiplier=multiplier, warm_up=200)
    x = jnp.ones((1, *shape))
    variables = jax.jit(functools.partial(module.init, train=True))(jax.random.key(0), x)
    # Non-negative kernels and inputs: the layers' steepest directions are then alike.
    variables["params"] = jax.tree.map(jnp.abs, variables["params"])
    train = jax.jit(functools.partial(module.apply, train=True, mutable=["spectral"]))
    for _ in range(200):  # the vectors follow the new kernels
        variables |= train(variables, x)[1]
    jacobian = jax.jit(jax.jacrev(lambda x: module.apply(variables, x, train=False)[0][0]))(x)
    steepest = np.linalg.norm(np.asarray(jacobian).reshape(len(jacobian), -1), 2)
    assert (steepest <= 1.5**4 * (1 + 1e-3)) == is_lipschitz
    assert steepest > 0.3 * multiplier**4
