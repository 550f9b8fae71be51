"""Networks: parameter counts of the paper, conventions of Keras, batch norm over devices, dtypes, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.errors import ModifyScopeVariableError

from buresgan_jax.networks import (
    Conv,
    DCGANDiscriminator,
    DCGANGenerator,
    DCGANPairDiscriminator,
    MLPDiscriminator,
    MLPEncoder,
    MLPGenerator,
    MLPPairDiscriminator,
    dcgan_discriminator,
    dcgan_encoder,
    dcgan_generator,
    leaky_relu,
)

# Most of the time goes into compiling; without optimization that takes a tenth.
_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

_SMALL_GENERATOR = DCGANGenerator(sizes=(4, 7, 14), filters=(8, 4), channels=3)
_SMALL_DISCRIMINATOR = DCGANDiscriminator(num_layers=2, base_filters=4)
_SMALL = {
    "mlp generator": (MLPGenerator(hidden=(8, 8)), (5,)),
    "mlp discriminator": (MLPDiscriminator(hidden=(8, 6), output_dim=3), (2,)),
    "dcgan generator": (_SMALL_GENERATOR, (5,)),
    "dcgan discriminator": (_SMALL_DISCRIMINATOR, (14, 14, 3)),
}
_both_dcgans = pytest.mark.parametrize("name", ["dcgan generator", "dcgan discriminator"])
_all_small = pytest.mark.parametrize(("network", "shape"), _SMALL.values(), ids=_SMALL.keys())


@functools.cache
def _init(network, shape):
    variables = _jit(functools.partial(network.init, train=False))(jax.random.key(0), jnp.zeros((2, *shape)))
    return jax.device_get(variables)


def _inputs(shape, batch=8):
    return np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)


@functools.partial(_jit, static_argnums=0)
def _train(network, variables, x):
    return network.apply(variables, x, train=True, mutable=["batch_stats"])


def _num_params(network, shape):
    init = functools.partial(network.init, train=True)
    variables = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((2, *shape), jnp.float32))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _output_shapes(network, shape):
    variables = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), jnp.zeros((2, *shape)))
    outputs = jax.eval_shape(functools.partial(network.apply, train=False), variables, jnp.zeros((2, *shape)))
    return jax.tree.map(lambda leaf: leaf.shape, outputs)


@pytest.mark.parametrize(
    ("network", "shape", "count"),
    [
        (MLPGenerator(), (256,), 49_666),
        (MLPDiscriminator(), (2,), 17_025),
        (MLPDiscriminator(), (258,), 49_793),  # VEEGAN's pairs
        (MLPDiscriminator(), (4,), 17_281),  # PacGAN
        (dcgan_generator(28, 3), (100,), 2_308_672),
        (dcgan_generator(28, 3, variant="veegan"), (100,), 4_517_891),
        (dcgan_generator(32, 3), (100,), 2_700_352),
        (dcgan_generator(96, 3), (100,), 6_428_224),
        (dcgan_discriminator(28), (28, 28, 3), 1_034_113),
        (dcgan_discriminator(28, use_batch_norm=False), (28, 28, 3), 1_033_345),
        (dcgan_discriminator(28), (28, 28, 6), 1_038_913),
        (dcgan_discriminator(28, variant="veegan"), (28, 28, 3), 4_310_401),
        (dcgan_discriminator(28, variant="veegan", use_batch_norm=False), (28, 28, 3), 4_308_609),
        (dcgan_discriminator(28, variant="veegan"), (28, 28, 6), 4_315_201),
        (dcgan_discriminator(32), (32, 32, 3), 1_034_113),
        (dcgan_discriminator(32, use_batch_norm=False), (32, 32, 3), 1_033_345),
        (dcgan_discriminator(32), (32, 32, 6), 1_038_913),
        (dcgan_discriminator(96), (96, 96, 3), 4_326_785),
        (dcgan_discriminator(96, use_batch_norm=False), (96, 96, 3), 4_324_993),
        (dcgan_discriminator(96), (96, 96, 6), 4_331_585),
    ],
)
def test_parameter_counts_are_the_papers(network, shape, count):
    assert _num_params(network, shape) == count


_RECONSTRUCTOR = MLPEncoder(100, (128, 128), nn.relu)


@pytest.mark.parametrize(
    ("network", "shape", "count"),
    [
        (MLPEncoder(256), (2,), 33_408),
        (MLPEncoder(256, (128, 128), nn.relu), (2,), 49_920),
        (_RECONSTRUCTOR, (28, 28, 3), 330_596),
        (_RECONSTRUCTOR, (32, 32, 3), 422_756),
        (_RECONSTRUCTOR, (96, 96, 3), 3_568_484),
        (dcgan_encoder(28, 3, 100), (28, 28, 3), 837_415),
        (dcgan_encoder(32, 3, 100), (32, 32, 3), 1_029_515),
        (dcgan_encoder(96, 3, 100), (96, 96, 3), 4_716_427),
    ],
)
def test_encoders_have_the_papers_parameters_and_give_z(network, shape, count):
    assert _num_params(network, shape) == count
    assert _output_shapes(network, shape) == (2, network.latent_dim)


@pytest.mark.parametrize(
    ("network", "latent_dim", "shape", "count"),
    [
        (MLPPairDiscriminator(), 256, (2,), 49_793),
        (dcgan_discriminator(28, kind=DCGANPairDiscriminator), 100, (28, 28, 3), 3_442_049),
        (dcgan_discriminator(28, kind=DCGANPairDiscriminator, variant="veegan"), 100, (28, 28, 3), 5_671_809),
        (dcgan_discriminator(32, kind=DCGANPairDiscriminator), 100, (32, 32, 3), 3_442_049),
        (dcgan_discriminator(96, kind=DCGANPairDiscriminator), 100, (96, 96, 3), 14_060_417),
    ],
)
def test_discriminators_of_pairs_have_the_papers_parameters(network, latent_dim, shape, count):
    pair = (jnp.zeros((2, latent_dim)), jax.ShapeDtypeStruct((2, *shape), jnp.float32))
    (outputs, features, extra), variables = jax.eval_shape(
        functools.partial(network.init_with_output, train=True), jax.random.key(0), pair
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    assert (outputs.shape, features.shape) == ((2, 1), (2, network.hidden[-1]))
    assert extra == {}


@pytest.mark.parametrize(
    ("image_size", "channels", "variant", "dim"),
    [
        (28, 1, "dcgan", 4096),
        (28, 3, "veegan", 2048),
        (32, 3, "dcgan", 4096),
        (64, 3, "dcgan", 8192),
        (96, 3, "dcgan", 18432),
        (14, 1, "dcgan", 2048),
        (80, 3, "dcgan", 12800),
        (128, 3, "dcgan", 16384),
    ],
)
def test_generator_and_discriminator_fit_each_other(image_size, channels, variant, dim):
    image_shape = (image_size, image_size, channels)
    assert _output_shapes(dcgan_generator(image_size, channels, variant=variant), (100,)) == (2, *image_shape)
    discriminator = dcgan_discriminator(image_size, variant=variant, output_dim=16)
    assert _output_shapes(discriminator, image_shape) == ((2, 16), (2, dim), {})


def test_the_rule_for_sizes_reproduces_the_paper():
    assert dcgan_generator(28, 3).sizes == (7, 7, 14, 28)
    assert dcgan_generator(32, 3).filters == (256, 128, 64)
    assert dcgan_generator(96, 3).sizes == (12, 12, 24, 48, 96)
    assert dcgan_generator(96, 3).filters == (256, 256, 128, 64)
    assert dcgan_generator(64, 3, base_filters=8).filters == (32, 32, 16, 8)


@_all_small
def test_outputs_are_float32_and_finite_in_both_modes(network, shape):
    variables = _init(network, shape)
    evaluated = _jit(functools.partial(network.apply, train=False))(variables, _inputs(shape))
    trained, _ = _train(network, variables, _inputs(shape))
    for leaf in (*jax.tree.leaves(evaluated), *jax.tree.leaves(trained)):
        assert leaf.dtype == jnp.float32
        assert leaf.shape[0] == 8
        assert np.isfinite(leaf).all()


@_all_small
def test_bfloat16_computes_near_float32(network, shape):
    variables, half = _init(network, shape), network.clone(dtype=jnp.bfloat16)
    actual, expected = (_train(n, variables, _inputs(shape)) for n in (half, network))
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=0.1, atol=0.1)
    assert "bf16" in str(jax.make_jaxpr(functools.partial(half.apply, train=False))(variables, _inputs(shape)))


@_all_small
def test_kernels_are_glorot_uniform_and_biases_zero(network, shape):
    params = _init(network, shape)["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = path[-1].key
        if name == "kernel":
            *window, fan_in, fan_out = leaf.shape
            limit = np.sqrt(6 / (np.prod(window) * (fan_in + fan_out)))
            assert 0.7 * limit < np.abs(leaf).max() <= limit
            assert np.std(leaf) == pytest.approx(limit / np.sqrt(3), rel=0.35)
        else:
            np.testing.assert_array_equal(leaf, 1.0 if name == "scale" else 0.0)


def test_leaky_relu_has_the_slope_of_keras():
    np.testing.assert_allclose(leaky_relu(jnp.array([-2.0, 3.0])), [-0.6, 3.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["mlp generator", "mlp discriminator"])
def test_mlps_equal_numpy(name):
    network, shape = _SMALL[name]
    variables, x = _init(network, shape), _inputs(shape)
    layers = [jax.tree.map(lambda leaf: leaf.astype(np.float64), variables["params"][f"Dense_{i}"]) for i in range(3)]
    first, second, last = (lambda x, layer=layer: x @ layer["kernel"] + layer["bias"] for layer in layers)
    features = np.tanh(second(np.tanh(first(x))))
    actual = jax.tree.leaves(_train(network, variables, x)[0])
    for a, b in zip(actual, (last(features), features), strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_discriminator_is_convolution_then_activation_then_batch_norm():
    variables, x = _init(_SMALL_DISCRIMINATOR, (14, 14, 3)), _inputs((14, 14, 3))
    (outputs, features, _), _ = _train(_SMALL_DISCRIMINATOR, variables, x)
    params = variables["params"]

    def convolved(x, name):
        layer = Conv(params[name]["bias"].size, strides=(2, 2))
        return leaky_relu(_jit(layer.apply)({"params": params[name]}, x))

    y = np.asarray(convolved(convolved(x, "Conv_0"), "Conv_1"))
    y = (y - y.mean((0, 1, 2), keepdims=True)) / np.sqrt(y.var((0, 1, 2), keepdims=True) + 1e-3)
    np.testing.assert_allclose(features, y.reshape(8, -1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        outputs, np.asarray(features) @ np.asarray(params["Dense_0"]["kernel"]), rtol=1e-4, atol=1e-4
    )


@_both_dcgans
def test_evaluation_uses_the_moving_statistics_and_leaves_them(name):
    network, shape = _SMALL[name]
    variables, x = _init(network, shape), _inputs(shape)
    trained, updates = _train(network, variables, x)
    changed = jax.tree.map(
        lambda a, b: bool((np.asarray(a) != b).any()), updates["batch_stats"], variables["batch_stats"]
    )
    assert all(jax.tree.leaves(changed))
    evaluate = _jit(functools.partial(network.apply, train=False))
    one_by_one = jnp.concatenate([jax.tree.leaves(evaluate(variables, x[i : i + 1]))[0] for i in range(2)])
    together = jax.tree.leaves(evaluate(variables, x))[0]
    np.testing.assert_allclose(together[:2], one_by_one, rtol=1e-4, atol=1e-5)
    assert float(jnp.abs(together - jax.tree.leaves(trained)[0]).max()) > 1e-3
    with pytest.raises(ModifyScopeVariableError):
        network.apply(variables, x, train=True)


def test_without_batch_norm_there_are_no_batch_stats():
    init = functools.partial(DCGANDiscriminator(use_batch_norm=False).init, train=True)
    assert set(jax.eval_shape(init, jax.random.key(0), jnp.zeros((2, 8, 8, 3)))) == {"params"}


@_both_dcgans
def test_four_devices_equal_one_on_the_same_global_batch(name):
    network, shape = _SMALL[name]
    variables, x = _init(network, shape), _inputs(shape)
    synchronized = network.clone(axis_name="batch")
    jax.tree.map(np.testing.assert_array_equal, _init(synchronized, shape), variables)

    def step(network, variables, x):
        def loss(params):
            outputs, updates = network.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
            leaf = jax.tree.leaves(outputs)[0]
            return jnp.square(leaf - 0.3).mean(), (leaf, updates["batch_stats"])

        return jax.grad(loss, has_aux=True)(variables["params"])

    def parallel_step(variables, x):
        gradients, (outputs, batch_stats) = step(synchronized, variables, x)
        return jax.lax.pmean(gradients, "batch"), (outputs, batch_stats)

    gradients, (outputs, batch_stats) = _jit(functools.partial(step, network))(variables, x)
    pmapped = jax.pmap(parallel_step, axis_name="batch", in_axes=(None, 0))
    actual_gradients, (actual_outputs, actual_stats) = pmapped(variables, x.reshape(4, 2, *x.shape[1:]))

    def assert_close(actual, expected):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * (np.abs(expected).max() + 1e-2))

    assert_close(np.reshape(actual_outputs, outputs.shape), np.asarray(outputs))
    for actual, expected in ((actual_gradients, gradients), (actual_stats, batch_stats)):
        jax.tree.map(lambda a, b: assert_close(a, np.stack([b] * 4)), *jax.device_get((actual, expected)))


def test_training_lowers_for_tpu_and_gpu():
    def step(params, batch_stats, x):
        def loss(params):
            variables = {"params": params, "batch_stats": batch_stats}
            (outputs, *_), updates = _SMALL_DISCRIMINATOR.apply(variables, x, train=True, mutable=["batch_stats"])
            return outputs.mean(), updates

        return jax.grad(loss, has_aux=True)(params)

    variables = _init(_SMALL_DISCRIMINATOR, (14, 14, 3))
    exported = jax.export.export(jax.jit(step), platforms=["tpu", "cuda"])(
        variables["params"], variables["batch_stats"], _inputs((14, 14, 3))
    )
    assert exported.platforms == ("tpu", "cuda")


@pytest.mark.parametrize(("image_size", "nearest"), [(30, 28), (7, 14), (100, 96), (0, 14), (13, 14), (1000, 1024)])
def test_unsupported_sizes_are_refused_with_the_nearest_one(image_size, nearest):
    message = f"do not support images of {image_size}x{image_size}.*nearest is {nearest}"
    with pytest.raises(ValueError, match=message):
        dcgan_generator(image_size, 3)
    with pytest.raises(ValueError, match=message):
        dcgan_discriminator(image_size)


def test_other_errors_say_what_was_got():
    with pytest.raises(ValueError, match="Unknown DCGAN variant 'resnet'. Available: dcgan, veegan"):
        dcgan_generator(32, 3, variant="resnet")
    with pytest.raises(ValueError, match="for images of 28x28, got 32x32"):
        dcgan_discriminator(32, variant="veegan")
    with pytest.raises(ValueError, match=r"got sizes \(4, 8\), filters \(8, 8\)"):
        _num_params(DCGANGenerator(sizes=(4, 8), filters=(8, 8)), (5,))
    with pytest.raises(ValueError, match="cannot go from size 4 to 9. Allowed after 4: 4, 7, 8"):
        _num_params(DCGANGenerator(sizes=(4, 9), filters=(8,)), (5,))
