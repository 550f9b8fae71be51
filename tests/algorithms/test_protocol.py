"""Sketches of methods still to come, to show that they need no change to train.py, gan.py or game.py.

Each is the smallest thing with the method's *structure* (a buffer, a latent with arrays and a second draw of it); its
losses are not the method's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from buresgan_jax import algorithms, latents, losses, networks
from buresgan_jax.algorithms import moves as moves
from buresgan_jax.algorithms.gan import make_algorithm
from buresgan_jax.training import devices

BATCH, STEPS = 8, 2
OPTIMIZER = algorithms.Optimizer(optax.scale_by_adam(0.5, 0.999), 1e-3)


def make_game(axis_name, **changes):
    game = algorithms.Game(
        networks.MLPGenerator(hidden=(8,)),
        networks.MLPDiscriminator(hidden=(8,)),
        latents.normal(3),
        losses.non_saturating(),
        OPTIMIZER,
        OPTIMIZER,
        axis_name=axis_name,
    )
    return game._replace(**changes)


def maem(axis_name):
    """A replay buffer of embeddings in `buffers`, read by a penalty of the update's own."""
    game = make_game(axis_name, discriminator=networks.MLPDiscriminator(hidden=(8,), output_dim=4))

    def init(key, example):
        return moves.init(game, key, example).replace(buffers={"codes": jax.random.normal(key, (16, 4))})

    def update(state, real, key):
        codes = state.buffers["codes"]

        def entropy(step, key):
            squared = jnp.sum((step.outputs.fake_outputs[:, None] - codes[None]) ** 2, axis=-1)
            return -jnp.mean(jnp.log(jnp.min(squared, axis=1) + 1e-6))

        with_entropy = game._replace(generator_penalties=(algorithms.Penalty("entropy", 0.1, entropy),))
        weights = state.hyperparameters | {"entropy_weight": jnp.float32(0.1)}
        new, terms = moves.simultaneous_update(with_entropy, state.replace(hyperparameters=weights), real[0], key)
        fresh = moves.generate(game, state, moves.sample_latent(game, state, key, real.shape[1]), ema=False)
        outputs, _ = moves.apply_train(game.discriminator, state.discriminator.params, {}, fresh)
        pushed = jnp.concatenate([moves.gather(game, outputs[0]), codes])[: len(codes)]
        new = new.replace(buffers={"codes": pushed}, hyperparameters=state.hyperparameters)
        return moves.finish_step(game, new), terms

    return make_algorithm(game, update, batches_per_update=1)._replace(init=init)


def bourgan(axis_name):
    """A latent with arrays of its own, and a penalty that draws a second z and generates from it."""
    centers = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)

    def sample(arrays, key, n):
        choice_key, noise_key = jax.random.split(key)
        chosen = jax.random.randint(choice_key, (n,), 0, len(centers))
        return arrays["centers"][chosen] + 0.01 * jax.random.normal(noise_key, (n, 3))

    def distance(step, key):
        other_z = step.sample_latent(key)
        apart = jnp.sum((step.local.fake - step.generate(other_z)) ** 2, axis=-1)
        wanted = jnp.sum((step.local.z - other_z) ** 2, axis=-1)
        return jnp.mean((jnp.log(apart + 1e-6) - jnp.log(wanted + 1e-6)) ** 2)

    latent = latents.Latent(lambda key: {"centers": jnp.asarray(centers)}, sample)
    penalties = (algorithms.Penalty("latent_distance", 0.1, distance),)
    return algorithms.gan(make_game(axis_name, latent=latent, generator_penalties=penalties))


SKETCHES = {f.__name__: f for f in (maem, bourgan)}


def run(make, num_devices):
    local = make(None)
    state = jax.device_get(jax.jit(local.init)(jax.random.key(0), np.zeros(2, np.float32)))
    per_update = local.batches_per_update
    batches = np.random.default_rng(0).normal(size=(STEPS, per_update, BATCH, 2)).astype(np.float32)
    tracker = devices.make_tracker(
        local, state, jax.ShapeDtypeStruct((per_update, BATCH // num_devices, 2), jnp.float32)
    )
    if num_devices == 1:
        steps, rest = jax.jit(devices.make_run_steps(local, lambda x, key: (x, None), STEPS)), ()
    else:
        steps = devices.over_devices(devices.make_run_steps(make(devices.AXIS), lambda x, key: (x, None), STEPS))
        batches = devices.Layout(BATCH, slice(0, BATCH), num_devices).split(batches)
        rest = (np.zeros(num_devices, np.int32),)
    new, tracker, _ = steps(state, tracker, jax.random.key(1), batches, STEPS, *rest)
    return state, jax.device_get(new), jax.device_get(tracker)


@pytest.mark.parametrize("name", SKETCHES)
def test_sketches_train_on_one_and_four_devices_without_a_change_to_the_library(name):
    start, one, tracker = run(SKETCHES[name], 1)
    _, four, _ = run(SKETCHES[name], 4)
    assert one.step == STEPS
    assert not any(tracker.first_bad.values())
    for part in ("generator", "discriminator"):
        before, after = (jax.tree.leaves(getattr(state, part).params) for state in (start, one))
        assert all(np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True)), part
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=5e-5),
        (one.generator.params, one.discriminator.params, one.auxiliary, one.buffers),
        (four.generator.params, four.discriminator.params, four.auxiliary, four.buffers),
    )
