"""Methods to come, as small real algorithms: they train, resume and sample without a change to the library."""

import shutil

import jax
import numpy as np
import pytest
from helpers import assert_same
from sketches import SKETCHES

from buresgan_jax import builders, config
from buresgan_jax.algorithms import Batch
from buresgan_jax.training import devices, loop, saved_run

BATCH, STEPS = 8, 3
# One of each part of a state in the default run: collections, buffers, prepared arrays, further networks.
ALIKE = ("hybrid", "pseudo", "r3gan")
FEWER = [pytest.param(each, marks=[pytest.mark.slow] if each in ALIKE else []) for each in SKETCHES]


def make_config(name):
    """The sketch on 64 points of the ring."""
    argument, changes = SKETCHES[name]
    made = config.default(f"{argument},smoke")
    made.data.name, made.data.num_examples = "ring", 64
    config.finish(made)
    # Pictures and evaluations are no part of these tests, and half of their time.
    rarely = {"training.sample_every_steps": 0, "evaluation.every_steps": STEPS}
    made.update_from_flattened_dict({"training.num_steps": STEPS, **rarely, **changes})
    return made


def run(made, num_devices):
    """The state before and after some steps on so many devices."""
    local, source = builders.algorithm(made), builders.source(made)
    prepared = local.prepare(source, made.seed)
    assert jax.tree.map(np.shape, prepared) == jax.tree.map(lambda leaf: leaf.shape, local.prepared_like)
    state = jax.device_get(jax.jit(local.init)(jax.random.key(0), np.zeros(2, np.float32), prepared))
    index = np.arange(STEPS * local.batches_per_update * BATCH, dtype=np.int32) % 64
    index = index.reshape(STEPS, local.batches_per_update, BATCH)
    batches = {"examples": source.fetch(index.ravel()).reshape(*index.shape, 2), "index": index}
    tracker = devices.make_tracker(local, state, devices.batch_like(local, BATCH, (2,)))
    decode = lambda payload, key: (payload["examples"], payload["index"])  # noqa: E731
    if num_devices == 1:
        steps, rest = jax.jit(devices.make_run_steps(local, decode, STEPS)), ()
    else:
        steps = devices.over_devices(devices.make_run_steps(builders.algorithm(made, devices.AXIS), decode, STEPS))
        batches = devices.Layout(BATCH, slice(0, BATCH), num_devices).split(batches)
        rest = (np.zeros(num_devices, np.int32),)
    new, tracker, _ = steps(jax.tree.map(np.copy, state), tracker, jax.random.key(1), batches, STEPS, *rest)
    return state, jax.device_get(new), jax.device_get(tracker)


@pytest.mark.parametrize("name", FEWER)
def test_sketches_train_on_one_and_four_devices_alike(name):
    made = make_config(name)
    start, one, tracker = run(made, 1)
    _, four, _ = run(made, 4)
    assert one.step == STEPS
    assert not any(tracker.first_bad.values())
    for before, after in ((start.generator, one.generator), (start.discriminator, one.discriminator)):
        moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (before.params, after.params)), strict=True)]
        assert sum(each > 0 for each in moved) >= len(moved) - 1  # a loss of differences leaves a last bias alone
    for before, after in ((start.buffers, one.buffers), (start.auxiliary, one.auxiliary)):
        assert all(np.abs(a - b).max() > 0 for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True))
    assert_same((start.latent, start.prepared), (one.latent, one.prepared))
    parts = [
        (state.generator.params, state.discriminator.params, state.discriminator.collections, state.buffers)
        for state in (one, four)
    ]
    assert_same(parts[1], parts[0], rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize("name", FEWER)
def test_sketches_resume_exactly_and_are_sampled_from_their_workdir_alone(name, tmp_path, monkeypatch):
    made = make_config(name)
    whole = loop.train_and_evaluate(made, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / str(STEPS))  # as if it had been killed after the step before
    assert_same(loop.train_and_evaluate(made, tmp_path), whole)
    monkeypatch.setattr(builders, "source", None)  # no data from here on
    run = saved_run.SavedRun(tmp_path)
    (state,) = run.states()
    samples = saved_run.make_sampler(run.algorithm)(state, jax.random.key(0), 5)
    assert samples.shape == (5, 2)
    assert np.isfinite(samples).all()


def test_spectral_vectors_advance_once_a_move_and_all_passes_see_one_value():
    made = make_config("mmd_repulsive")
    start, one, _ = run(made, 1)
    vector, kernel = (np.asarray(tree["SpectralDense_0"][name], float) for tree, name in (
        (start.discriminator.collections["spectral"], "u"), (start.discriminator.params, "kernel")
    ))  # fmt: skip
    expected = kernel.T @ (kernel @ vector)
    algorithm = builders.algorithm(made)
    batch = Batch(np.ones((1, BATCH, 2), np.float32), np.zeros((1, BATCH), np.int32))
    after, _ = jax.jit(algorithm.update)(start, batch, jax.random.key(0))
    found = after.discriminator.collections["spectral"]["SpectralDense_0"]["u"]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-5)
