"""Runs that advance together compute what each would alone, and one that diverges does not stop the others."""

import contextlib
import functools
import json
import time

import jax
import numpy as np
import pytest
from flax import struct
from helpers import assert_close_parameters, assert_same, make_config, read_metrics
from PIL import Image

from buresgan_jax import algorithms, builders, data
from buresgan_jax.errors import UserError
from buresgan_jax.runtime.signals import StopSignals
from buresgan_jax.training import devices, layouts, loop, together
from buresgan_jax.training.opening import open_run

RATES = [1e-3, 1e38, 5e-3]  # three runs on two devices; the second diverges


def train_together(workdir, configs):
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(StopSignals(alone=True))
        rows = slice(0, configs[0].training.batch_size)
        opened = [open_run(config, workdir / str(i), signals, rows=rows) for i, config in enumerate(configs)]
        runs, recorders = zip(*opened, strict=True)
        for recorder in recorders:
            stack.enter_context(contextlib.closing(recorder))
        stacked = layouts.Stacked(runs, workdir)
        diverged = loop.train(stacked, recorders, signals, begin=time.monotonic())
        return stacked.states(), diverged


def make(index, rate, resident):
    options = {"optimizer__discriminator_learning_rate": rate, "training__num_steps": 4}
    return make_config("bures", seed=index, data__num_examples=60, data__resident=resident, **options)


def test_stacked_runs_equal_single_ones_and_divergence_stops_only_one(tmp_path, monkeypatch):
    two = jax.local_devices()[:2]
    monkeypatch.setattr(jax, "local_devices", lambda: two)
    states, diverged = train_together(tmp_path, [make(index, rate, True) for index, rate in enumerate(RATES)])
    monkeypatch.undo()
    assert list(diverged) == [1]
    assert "not finite" in str(diverged[1])
    assert not (tmp_path / "1" / "final.json").exists()
    alone = loop.train_and_evaluate(make(2, RATES[2], False), tmp_path / "alone")
    assert_close_parameters(states[2], alone)
    assert not np.array_equal(*(jax.tree.leaves(states[i].generator.params)[0] for i in (0, 2)))
    lines = [read_metrics(tmp_path / name) for name in ("2", "alone")]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    final = json.loads((tmp_path / "2" / "final.json").read_text())
    assert final["step"] == 4
    assert final["first_step_seconds"] > 0


@pytest.mark.parametrize("is_shared", [True, False])
def test_runs_on_devices_share_resident_data_or_have_their_own(is_shared):
    used = jax.local_devices()[:2]
    numbers, picks = np.arange(24.0).reshape(2, 3, 4), np.arange(6).reshape(2, 3, 1) % 4  # [devices, runs on each, ...]
    numbers = numbers[0, 0] if is_shared else numbers
    resident = devices.on_local_devices((numbers,), *([] if is_shared else [devices.AXIS]), devices=used)
    run_steps = devices.over_runs(
        lambda state, tracker, key, batches, num_steps, numbers: (state + numbers[batches[0]], tracker, num_steps),
        used,
        resident,
        is_shared=is_shared,
    )
    zeros = np.zeros((2, 3))
    state, _, step = run_steps(zeros, zeros, zeros, picks, 5)
    expected = [[(numbers if is_shared else numbers[i, j])[picks[i, j, 0]] for j in range(3)] for i in range(2)]
    np.testing.assert_array_equal(state, expected)
    assert step == 5


def test_only_several_devices_have_an_axis(monkeypatch):
    for count, axis in ((1, None), (2, devices.AXIS)):
        monkeypatch.setattr(jax, "device_count", lambda count=count: count)
        assert devices.axis() == axis


@pytest.mark.parametrize(
    ("wanted", "shape", "num_bytes", "steps"),
    [(7, (2,), 10, 7), (None, (2,), 2048, 100), (None, (2,), 2**22, 16), (None, (32, 32, 3), 2**18, 1)],
)
def test_steps_per_call_are_chosen_by_kind_and_size_of_the_data(wanted, shape, num_bytes, steps):
    assert devices.choose_steps_per_call(wanted, shape, num_bytes) == steps


def test_a_mistake_of_one_process_ends_all_of_them(monkeypatch):
    def opened(mine, *others):
        monkeypatch.setattr(jax, "process_count", lambda: 1 + len(others))
        found = lambda good: np.array([good, *(error is None for error in others)])  # noqa: E731
        monkeypatch.setattr(together.multihost_utils, "process_allgather", found)
        with together.raised_together():
            if mine:
                raise mine

    opened(None)
    opened(None, None)
    for errors in ([UserError("mine")], [UserError("mine"), None], [UserError("mine"), UserError("other")]):
        with pytest.raises(UserError, match="mine"):
            opened(*errors)
    with pytest.raises(UserError, match="Another process cannot start. See the message of that process"):
        opened(None, UserError("other"))


def test_a_gpu_makes_several_steps_of_images_in_a_call(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert devices.choose_steps_per_call(None, (32, 32, 3), 2**18) == 20


def test_bfloat16_networks_keep_parameters_statistics_and_losses_in_float32(tmp_path):
    dtypes = {"generator__dtype": "bfloat16", "discriminator__dtype": "bfloat16", "training__num_steps": 2}
    state = loop.train_and_evaluate(make_config("bures", **dtypes), tmp_path)
    floating = {leaf.dtype for leaf in jax.tree.leaves(state) if np.issubdtype(leaf.dtype, np.floating)}
    assert floating == {np.dtype(np.float32)}
    penalty = next(line["bures"] for line in read_metrics(tmp_path) if line["split"] == "train")
    assert penalty != float(jax.numpy.bfloat16(penalty))  # more digits than bfloat16 has


def test_a_profile_is_written(tmp_path, capfd):
    config = make_config("gan")
    loop.train_and_evaluate(config, tmp_path / "traced", profile=True)
    assert list((tmp_path / "traced" / "profile").rglob("*.xplane.pb"))
    assert "tensorboard --logdir=" in capfd.readouterr().err


# Flips


@struct.dataclass
class Seen:
    """A training state that remembers the batches of the last step."""

    step: jax.Array
    real: jax.Array


def remembering(axis_name):
    def update(state, batch, key):
        real = batch.examples
        if axis_name:
            real = jax.lax.all_gather(real, axis_name, axis=1, tiled=True)
        return Seen(state.step + 1, real), {}

    return algorithms.Algorithm(None, update, generate=None, sample=None, prepare=None, prepared_like={}, latent=None)


@pytest.mark.parametrize("num_devices", [2, 4])
def test_flips_are_the_same_on_any_number_of_devices_and_in_any_call(num_devices):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    source = data.with_flips(
        data.Source("images", 40, images.shape[1:], images.__getitem__, data.decode_images), flip=True
    )
    decode, size, steps = functools.partial(data.decode_payload, source), 16, 3
    order = {"seed": 0, "batch_size": size, "batches_per_update": 2, "rows": slice(0, size)}
    start = Seen(np.int32(0), np.zeros((2, size, *source.example_shape), np.float32))
    tracker, key = devices.Tracker({}, np.int32(0), {}), jax.random.key(1)

    together = jax.jit(devices.make_run_steps(remembering(None), decode, steps))
    expected, _, _ = together(start, tracker, key, data.read_steps(source, 0, steps, **order), steps)
    plain = source.decode(data.read_steps(source, 2, steps, **order)["examples"][0])
    is_mirrored = (np.asarray(expected.real) != plain).any((2, 3, 4), keepdims=True)
    assert 0 < is_mirrored.mean() < 1
    np.testing.assert_array_equal(expected.real, np.where(is_mirrored, plain[..., ::-1, :], plain))

    state, layout = start, devices.Layout(size, slice(0, size), num_devices)
    run_steps = devices.make_run_steps(remembering(devices.AXIS), decode, 1)
    one_by_one = devices.over_devices(run_steps, jax.local_devices()[:num_devices])
    for step in range(steps):
        batches = layout.split(data.read_steps(source, step, step + 1, **order))
        state, _, _ = one_by_one(state, tracker, key, batches, 1, np.zeros(num_devices, np.int32))
    assert_same(state, expected)


def test_a_resumed_run_flips_as_an_uninterrupted_one(tmp_path):
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:02}.png")

    def run_to(step, name):
        options = {"data__path": str(tmp_path / "images"), "data__flip": True, "data__image_size": 16}
        options |= {"training__num_steps": step, "training__steps_per_call": 1}
        config = make_config("gan", "image_folder", smoke=False, **options)
        assert builders.source(config).augment is data.random_flips
        return loop.train_and_evaluate(config, tmp_path / name)

    whole = run_to(6, "whole")
    run_to(3, "resumed")
    assert_same(run_to(6, "resumed"), whole)
