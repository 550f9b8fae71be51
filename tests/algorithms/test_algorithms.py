"""Every method of the table: what an update changes, on one device and on four, on points and on images."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from buresgan_jax import algorithms, builders, config, latents, losses, networks, penalties
from buresgan_jax import data as data_lib
from buresgan_jax.algorithms import Batch, moves
from buresgan_jax.algorithms.protocol import join_packs
from buresgan_jax.training import devices
from buresgan_jax.training.checkpoint import Checkpointer

# Two differ from a third in options of the loss alone.
METHODS = [name for name in config.METHODS if name not in ("mmd_repulsive_bounded", "mmd_attractive")]
# Much the same as others, or among the sketches: the dear tests of these are slow ones.
ALIKE = ("gan", "hinge", "pairing", "f_gan", "frobenius", "gdpp", "mdgan_v1", "bourgan", "best", "maem")
FEWER = [pytest.param(each, marks=[pytest.mark.slow] if each in ALIKE else []) for each in METHODS]


def tiny_config(method, data="ring"):
    tiny = config.default(f"{method},smoke")
    tiny.data.name = data
    if "pseudo_supervision" in tiny.terms:
        tiny.data.num_examples = 64 if "+" in method else 32
    if data != "ring":
        tiny.data.image_size, tiny.data.channels = 16, 1
        tiny.generator.name = tiny.discriminator.name = "dcgan"
    return config.finish(tiny)


@functools.cache
def prepared(method, data="ring"):
    """Algorithm, initial state and real batches; one compilation for all tests of a method."""
    tiny = tiny_config(method, data)
    algorithm, source = builders.algorithm(tiny), builders.source(tiny)
    example, made = np.zeros(source.example_shape, np.float32), algorithm.prepare(source, 0)
    made = jax.tree.map(lambda leaf, value: np.asarray(value, leaf.dtype), algorithm.prepared_like, made)
    state = jax.jit(algorithm.init)(jax.random.key(0), example, made)
    num_real = algorithm.batches_per_update * 8
    real = source.fetch(np.arange(num_real) % (source.num_examples or num_real))
    real = np.asarray(source.decode(real)).reshape(algorithm.batches_per_update, 8, *source.example_shape)
    real = Batch(real, np.arange(num_real, dtype=np.int32).reshape(algorithm.batches_per_update, 8))
    return algorithm, jax.device_get(state), real, jax.jit(algorithm.update)


def _indices(algorithm):
    return jax.ShapeDtypeStruct((algorithm.batches_per_update, 8), jnp.int32)


def changed(before, after):
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), before, after)
    return not all(jax.tree.leaves(same))


# Optimizer steps in one update, where they are not one of each network.
STEPS = {
    "alternating_bures": {"generator": 2},
    "mdgan_v2": {"generator": 2},
    "wgan_gp": {"discriminator": 5},
    "maem": {"discriminator": 3},
}
AUXILIARY = {
    "veegan": {"reconstructor"},
    "mdgan_v1": {"encoder"},
    "mdgan_v2": {"encoder", "manifold_discriminator"},
}


BUFFERS = {"maem": {"entropy", "real_entropy"}}


def networks_of(state):
    return {"generator": state.generator, "discriminator": state.discriminator, **state.auxiliary}


@pytest.mark.parametrize("method", METHODS)
def test_one_update_moves_every_network_as_often_as_it_should_and_nothing_else(method):
    _, state, real, update = prepared(method)
    new, metrics = update(state, real, jax.random.key(1))
    assert new.step == 1
    assert networks_of(new).keys() == {"generator", "discriminator"} | AUXILIARY.get(method, set())
    for name, network in networks_of(new).items():
        before, after = (jax.tree.leaves(each.params) for each in (networks_of(state)[name], network))
        moved = [changed(*pair) for pair in zip(before, after, strict=True)]
        if method in ("wgan_gp", "pairing", "mmd_repulsive") and name == "discriminator":
            del moved[-2]  # the last layer's bias: a loss of differences does not see it
        assert all(moved), name
        assert optax.tree.get(network.opt_state, "count") == STEPS.get(method, {}).get(name, 1), name
    assert changed(state.ema, new.ema)
    assert not changed((state.hyperparameters, state.latent), (dict(new.hyperparameters), new.latent))
    assert state.buffers.keys() == new.buffers.keys() == BUFFERS.get(method, set())
    assert all(changed(state.buffers[name], buffer) for name, buffer in new.buffers.items())
    assert {"generator_loss", "discriminator_loss"} <= metrics.keys()
    assert all(np.isfinite(value) and value.shape == () for value in metrics.values())


@pytest.mark.parametrize("method", METHODS)
def test_the_update_is_a_function_of_state_batch_and_key(method):
    _, state, real, update = prepared(method)
    first, second, other = (update(state, real, jax.random.key(seed))[0] for seed in (1, 1, 2))
    assert not changed(first, second)
    assert changed(first.generator.params, other.generator.params)
    assert changed(first, update(state, real._replace(examples=real.examples + 0.1), jax.random.key(1))[0])


@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_between_two_updates_changes_no_bit(method, tmp_path):
    _, state, real, update = prepared(method)
    first, _ = update(state, real, jax.random.key(1))
    second, _ = update(first, real, jax.random.key(2))
    with contextlib.closing(Checkpointer(tmp_path, keep=1)) as checkpointer:
        checkpointer.save(1, {"state": jax.device_get(first)})
    with contextlib.closing(Checkpointer(tmp_path, read_only=True)) as checkpointer:
        _, items = checkpointer.restore({"state": jax.tree.map(np.zeros_like, state)})
    again, _ = update(items["state"], real, jax.random.key(2))
    assert not changed(second, again)


@pytest.mark.parametrize("method", METHODS)
def test_every_learning_rate_and_weight_is_traced_and_seeds_train_under_one_vmap(method):
    algorithm, state, real, _ = prepared(method)
    many = jax.tree.map(lambda leaf: np.stack([leaf] * 2), state)
    shapes, metrics = jax.eval_shape(jax.vmap(algorithm.update, (0, None, None)), many, real, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(lambda leaf: leaf.shape, many)
    assert all(value.shape == (2,) for value in metrics.values())
    rates = {name for name in state.hyperparameters if name.endswith("_learning_rate")}
    assert rates == {f"{name}_learning_rate" for name in networks_of(state)}


NETWORKS = [(method, "dcgan") for method in METHODS]
NETWORKS += [(method, "resnet") for method in ("bures", "veegan", "mdgan_v2")]
# Seconds of tracing.
NETWORKS += [pytest.param(method, "resnet", marks=[pytest.mark.slow]) for method in ("wgan_gp", "unrolled")]


@pytest.mark.parametrize(("method", "network"), NETWORKS)
def test_the_update_fits_images_in_packs(method, network):
    tiny = tiny_config(method, "mnist")
    tiny.discriminator.pack = 2
    if network == "resnet":
        tiny.generator.name = tiny.discriminator.name = "resnet"
        tiny.data.image_size = 32
    algorithm, shape = builders.algorithm(tiny), builders.describe(tiny).example_shape
    state = jax.eval_shape(algorithm.init, jax.random.key(0), np.zeros(shape, np.float32), algorithm.prepared_like)
    real = Batch(jax.ShapeDtypeStruct((algorithm.batches_per_update, 8, *shape), jnp.float32), _indices(algorithm))
    new, _ = jax.eval_shape(algorithm.update, state, real, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, new) == jax.tree.map(lambda leaf: leaf.shape, state)


@pytest.mark.parametrize("method", FEWER)
def test_one_update_on_images_moves_every_network_and_is_finite(method):
    algorithm, state, real, _ = prepared(method, "mnist")
    update = jax.jit(algorithm.update, compiler_options={"xla_backend_optimization_level": 0})  # compiled in less time
    new, metrics = update(state, real, jax.random.key(1))
    for name, network in networks_of(new).items():
        assert changed(networks_of(state)[name].params, network.params), name
        assert not network.collections or changed(networks_of(state)[name].collections, network.collections), name
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new) if np.issubdtype(leaf.dtype, np.floating))
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_penalty_gives_the_discriminator_no_gradient():
    _, plain_state, real, plain_update = prepared("gan")
    _, _, _, update = prepared("bures")
    weighted = plain_state.replace(hyperparameters=plain_state.hyperparameters | {"bures_weight": np.float32(5)})
    plain, _ = plain_update(plain_state, real, jax.random.key(1))
    penalized, _ = update(weighted, real, jax.random.key(1))
    assert changed(plain.generator.params, penalized.generator.params)
    for a, b in zip(*map(jax.tree.leaves, (plain.discriminator.params, penalized.discriminator.params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_the_joint_gradient_is_half_of_loss_plus_penalty_at_the_old_parameters():
    _, state, real, _ = prepared("bures")
    game = builders.game(tiny_config("bures"), None)
    z = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
    batch = moves.nth(real, 0)
    outputs, pullback, _ = moves.forward(game, state, batch, z, jax.random.key(0))
    gradient, _ = moves.generator_gradient(game, state, outputs, pullback, jax.random.key(0))

    def objective(params):
        fake = game.generator.apply({"params": params}, z, train=True)
        logits, features, _ = game.discriminator.apply({"params": state.discriminator.params}, fake, train=True)
        variables = {"params": state.discriminator.params}
        _, real_features, _ = game.discriminator.apply(variables, batch.examples, train=True)
        return (jnp.mean(jax.nn.softplus(-logits)) + penalties.bures_penalty(features, real_features)) / 2

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient,
        jax.grad(objective)(state.generator.params),
    )


CASES = [pytest.param(*each.values, "ring", marks=each.marks) for each in FEWER]


# Half of the batch's examples are embedded, not equally many on each device: see `tiny_config`.
HALF_EMBEDDED = "gan+embedding+pseudo_supervision+sample_mmd"
# Terms and algorithms that are no mean over the rows of a batch.
QUOTIENTS = [
    (method, "ring") for method in ("gan+latent_distance", "mmd_repulsive+scaled", "bures+entropy", HALF_EMBEDDED)
]


@pytest.mark.parametrize(("method", "data"), [*CASES, ("bures", "mnist"), *QUOTIENTS])
def test_four_devices_compute_what_one_computes(method, data):
    steps = 3
    local, start, _, update = prepared(method, data)
    tiny = tiny_config(method, data)
    source = builders.source(tiny)
    index = np.random.default_rng(0).integers(0, 32, (steps, local.batches_per_update, 8)).astype(np.int32)
    batches = {"examples": source.fetch(index.ravel()).reshape(*index.shape, *source.example_shape), "index": index}

    one, sums = start, {}
    for real, numbers in zip(*batches.values(), strict=True):
        batch = Batch(np.asarray(source.decode(real)), numbers)
        one, metrics = update(one, batch, jax.random.fold_in(jax.random.key(1), one.step))
        sums = {name: value + sums.get(name, 0) for name, value in metrics.items()}

    batch = devices.batch_like(local, 2, source.example_shape)
    algorithm, tracker = builders.algorithm(tiny, devices.AXIS), devices.make_tracker(local, start, batch)
    decode = functools.partial(data_lib.decode_payload, source)
    run_steps = devices.over_devices(devices.make_run_steps(algorithm, decode, steps))
    split = devices.Layout(8, slice(0, 8), 4).split(batches)
    # A copy: the state is donated.
    state = jax.tree.map(np.copy, start)
    four, tracker, _ = run_steps(state, tracker, jax.random.key(1), split, steps, np.zeros(4, np.int32))
    assert four.step == steps
    # Adam divides by the root of the squared gradient: where that is rounding, so is the step of size learning rate.
    if method.startswith(("mmd_repulsive", "pairing")):  # differences do not see the last layer's bias
        for each in (one, four):
            params = each.discriminator.params
            del params.get("network", params)["Dense_2"]["bias"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5),
        (one.ema, one.buffers, {name: network.params for name, network in networks_of(one).items()}),
        (four.ema, dict(four.buffers), {name: network.params for name, network in networks_of(four).items()}),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), sums, dict(tracker.sums))


# Those with operations that the others do not have.
@pytest.mark.parametrize(
    ("method", "data"), [("gdpp", "ring"), ("unrolled", "ring"), ("wgan_gp", "ring"), ("bures", "mnist")]
)
def test_the_update_lowers_for_tpu_and_cuda(method, data):
    _, state, real, update = prepared(method, data)
    exported = jax.export.export(update, platforms=["tpu", "cuda"])(state, real, jax.random.key(0))
    assert exported.platforms == ("tpu", "cuda")


def test_discriminator_steps_consume_one_batch_each():
    optimizer = algorithms.Optimizer(optax.scale_by_adam(), 1e-3)
    game = algorithms.Game(
        networks.MLPGenerator(hidden=(8,)),
        networks.MLPDiscriminator(hidden=(8,)),
        latents.uniform(3),
        losses.non_saturating(),
        optimizer,
        optimizer,
    )
    algorithm = algorithms.gan(game, discriminator_steps=3)
    assert algorithm.batches_per_update == 3
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(2, np.float32))
    batches = Batch(np.ones((3, 4, 2), np.float32), np.zeros((3, 4), np.int32))
    new, _ = jax.jit(algorithm.update)(state, batches, jax.random.key(1))
    counts = [int(optax.tree.get(network.opt_state, "count")) for network in (new.generator, new.discriminator)]
    assert counts == [1, 3]


def test_moves_on_images_are_unrolled_on_a_cpu_with_the_same_results():
    def move(carry, inputs):
        batch, weight = inputs
        carry = jnp.tanh(carry + weight * batch.examples.mean())
        return carry, 2 * carry

    scan = jax.jit(functools.partial(moves.scan_moves, move))
    weights, index = jnp.arange(3.0), jnp.zeros((3, 2), jnp.int32)
    shapes = ((2, 2), (2, 4, 4, 1))
    points, images = (Batch(np.random.default_rng(0).normal(size=(3, *shape)), index) for shape in shapes)

    def loops(batch, platform):
        lowered = scan.trace(jnp.float32(0), batch, weights).lower(lowering_platforms=(platform,))
        return "while" in lowered.as_text()

    assert loops(points, "cpu")
    assert not loops(images, "cpu")
    assert loops(images, "cuda")
    unrolled = scan(jnp.float32(0), images, weights)
    looped = jax.jit(functools.partial(jax.lax.scan, move))(jnp.float32(0), (images, weights))
    assert unrolled[1].shape == (3,)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), unrolled, looped)


def test_samples_come_from_the_averaged_or_the_raw_generator():
    algorithm, state, real, update = prepared("bures")
    state, _ = update(state, real, jax.random.key(1))
    averaged = algorithm.sample(state, jax.random.key(2), 5)
    raw = algorithm.sample(state, jax.random.key(2), 5, ema=False)
    assert averaged.shape == raw.shape == (5, 2)
    assert np.abs(averaged - raw).max() > 0
    z = np.zeros((5, 4), np.float32)
    np.testing.assert_array_equal(algorithm.generate(state, z)[0], algorithm.generate(state, z)[4])


@pytest.mark.parametrize("pack", [2, 3])
def test_packs_are_neighbors_joined_along_the_last_axis(pack):
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype(np.float32)
    joined = np.concatenate([x[start::pack] for start in range(pack)], axis=-1)
    np.testing.assert_array_equal(join_packs(x, pack), joined)
    with pytest.raises(ValueError, match=f"batch of 7 cannot be cut into packs of {pack}"):
        join_packs(np.zeros((7, 2)), pack)


def test_a_pack_of_pairs_joins_both_parts():
    tiny = tiny_config("veegan")
    tiny.discriminator.pack = 2
    algorithm = builders.algorithm(tiny)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), np.zeros(2, np.float32))
    assert state.discriminator.params["MLPDiscriminator_0"]["Dense_0"]["kernel"].shape == (2 * (4 + 2), 8)
