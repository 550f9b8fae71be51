"""Every method of the table: what an update changes, on one device and on four, on points and on images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from buresgan_jax import algorithms, build, config, devices, latents, losses, networks, penalties

METHODS = list(config.METHODS)


def tiny_config(method, data="ring"):
    tiny = config.default(f"{method},smoke")
    tiny.data.name = data
    if data != "ring":
        tiny.data.image_size, tiny.data.channels = 16, 1
        tiny.generator.name = tiny.discriminator.name = "dcgan"
    return config.finish(tiny)


@functools.cache
def prepared(method, data="ring"):
    """Algorithm, initial state and real batches; one compilation for all tests of a method."""
    tiny = tiny_config(method, data)
    algorithm, source = build.algorithm(tiny), build.source(tiny)
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(source.example_shape, np.float32))
    real = source.fetch(np.arange(algorithm.batches_per_update * 8))
    real = np.asarray(source.decode(real)).reshape(algorithm.batches_per_update, 8, *source.example_shape)
    return algorithm, jax.device_get(state), real, jax.jit(algorithm.update)


def changed(before, after):
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), before, after)
    return not all(jax.tree.leaves(same))


@pytest.mark.parametrize("method", METHODS)
def test_one_update_moves_both_networks_and_counts_one_step(method):
    _, state, real, update = prepared(method)
    new, metrics = update(state, real, jax.random.key(1))
    assert new.step == 1
    assert changed(state.generator.params, new.generator.params)
    assert changed(state.discriminator.params, new.discriminator.params)
    assert changed(state.ema, new.ema)
    assert jax.tree.all(jax.tree.map(np.array_equal, state.hyperparameters, dict(new.hyperparameters)))
    assert {"generator_loss", "discriminator_loss"} <= metrics.keys()
    assert all(np.isfinite(value) and value.shape == () for value in metrics.values())


@pytest.mark.parametrize("method", METHODS)
def test_the_update_is_a_function_of_state_batch_and_key(method):
    _, state, real, update = prepared(method)
    first, second, other = (update(state, real, jax.random.key(seed))[0] for seed in (1, 1, 2))
    assert not changed(first, second)
    assert changed(first.generator.params, other.generator.params)


def test_alternating_moves_the_generator_twice_and_the_discriminator_once():
    _, state, real, update = prepared("alternating_bures")
    new, _ = update(state, real, jax.random.key(1))
    counts = [int(optax.tree.get(network.opt_state, "count")) for network in (new.generator, new.discriminator)]
    assert counts == [2, 1]


def test_the_penalty_gives_the_discriminator_no_gradient():
    _, plain_state, real, plain_update = prepared("gan")
    _, _, _, update = prepared("bures")
    weighted = plain_state.replace(hyperparameters=plain_state.hyperparameters | {"bures_weight": np.float32(5)})
    plain, _ = plain_update(plain_state, real, jax.random.key(1))
    penalised, _ = update(weighted, real, jax.random.key(1))
    assert changed(plain.generator.params, penalised.generator.params)
    for a, b in zip(*map(jax.tree.leaves, (plain.discriminator.params, penalised.discriminator.params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_the_joint_gradient_is_half_of_loss_plus_penalty_at_the_old_parameters():
    _, state, real, _ = prepared("bures")
    game = build.game(tiny_config("bures"), None)
    z = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)), jnp.float32)
    outputs, pullback, _ = algorithms.game.forward(game, state, real[0], z)
    gradient, _ = algorithms.game.generator_gradient(game, state, outputs, pullback, jax.random.key(0))

    def objective(params):
        fake = game.generator.apply({"params": params}, z, train=True)
        logits, features = game.discriminator.apply({"params": state.discriminator.params}, fake, train=True)
        _, real_features = game.discriminator.apply({"params": state.discriminator.params}, real[0], train=True)
        return (jnp.mean(jax.nn.softplus(-logits)) + penalties.bures_penalty(features, real_features)) / 2

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient,
        jax.grad(objective)(state.generator.params),
    )


def run_on_devices(method, data, num_devices, steps=3):
    tiny = tiny_config(method, data)
    axis = devices.AXIS if num_devices > 1 else None
    algorithm, local, source = build.algorithm(tiny, axis), build.algorithm(tiny), build.source(tiny)
    run_steps = devices.make_run_steps(algorithm, source.decode, steps)
    state = jax.device_get(jax.jit(local.init)(jax.random.key(0), np.zeros(source.example_shape, np.float32)))
    indices = np.random.default_rng(0).integers(0, 32, (steps, local.batches_per_update, 8))
    batches = source.fetch(indices.ravel()).reshape(*indices.shape, *source.example_shape)
    real = jax.ShapeDtypeStruct((local.batches_per_update, 8 // num_devices, *source.example_shape), jnp.float32)
    tracker = devices.make_tracker(local, state, real)
    if num_devices > 1:
        batches = devices.Layout(8, slice(0, 8), num_devices).split(batches)
        run_steps, rest = devices.over_devices(run_steps), (np.zeros(num_devices, np.int32),)
    else:
        run_steps, rest = jax.jit(run_steps), ()
    state, tracker, _ = run_steps(state, tracker, jax.random.key(1), batches, steps, *rest)
    return jax.device_get(state), jax.device_get(tracker)


CASES = [(method, "ring") for method in METHODS] + [("bures", "mnist")]


@pytest.mark.parametrize(("method", "data"), CASES)
def test_four_devices_compute_what_one_computes(method, data):
    (one, one_tracker), (four, four_tracker) = run_on_devices(method, data, 1), run_on_devices(method, data, 4)
    assert four.step == 3
    # Adam divides by the root of the squared gradient: where that is rounding, so is the step of size learning rate.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5),
        (one.generator.params, one.discriminator.params, one.ema),
        (four.generator.params, four.discriminator.params, four.ema),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), one_tracker.sums, four_tracker.sums)


@pytest.mark.parametrize(("method", "data"), CASES)
def test_the_update_lowers_for_tpu_and_cuda(method, data):
    _, state, real, update = prepared(method, data)
    exported = jax.export.export(update, platforms=["tpu", "cuda"])(state, real, jax.random.key(0))
    assert exported.platforms == ("tpu", "cuda")


def test_a_grid_of_hyperparameters_trains_under_one_vmap():
    algorithm, state, real, update = prepared("bures")
    weights = np.array([0.0, 1.0, 10.0], np.float32)
    grid = jax.tree.map(lambda leaf: np.stack([leaf] * 3), state)
    grid = grid.replace(hyperparameters=grid.hyperparameters | {"bures_weight": weights})
    batched, _ = jax.jit(jax.vmap(algorithm.update, (0, None, None)))(grid, real, jax.random.key(1))
    for index, weight in enumerate(weights):
        single = state.replace(hyperparameters=state.hyperparameters | {"bures_weight": weight})
        expected, _ = update(single, real, jax.random.key(1))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a[index], b, rtol=1e-3, atol=2e-5),  # noqa: B023
            batched.generator.params,
            expected.generator.params,
        )


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
    state = algorithm.init(jax.random.key(0), np.zeros(2, np.float32))
    new, _ = jax.jit(algorithm.update)(state, np.ones((3, 4, 2), np.float32), jax.random.key(1))
    counts = [int(optax.tree.get(network.opt_state, "count")) for network in (new.generator, new.discriminator)]
    assert counts == [1, 3]


def test_samples_come_from_the_averaged_or_the_raw_generator():
    algorithm, state, real, update = prepared("bures")
    state, _ = update(state, real, jax.random.key(1))
    averaged = algorithm.sample(state, jax.random.key(2), 5)
    raw = algorithm.sample(state, jax.random.key(2), 5, ema=False)
    assert averaged.shape == raw.shape == (5, 2)
    assert np.abs(averaged - raw).max() > 0
    z = np.zeros((5, 4), np.float32)
    np.testing.assert_array_equal(algorithm.generate(state, z)[0], algorithm.generate(state, z)[4])
