"""Runs that advance together compute what each would alone, and one that diverges does not stop the others."""

import contextlib
import json
import time

import jax
import numpy as np
import pytest
from helpers import assert_close_parameters, make_config, read_metrics

from buresgan_jax.errors import UserError
from buresgan_jax.runtime.signals import StopSignals
from buresgan_jax.training import devices, layouts, loop
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
    data, picks = np.arange(24.0).reshape(2, 3, 4), np.arange(6).reshape(2, 3, 1) % 4  # [devices, runs on each, ...]
    data = data[0, 0] if is_shared else data
    resident = devices.on_local_devices((data,), *([] if is_shared else [devices.AXIS]), devices=used)
    run_steps = devices.over_runs(
        lambda state, tracker, key, batches, num_steps, data: (state + data[batches[0]], tracker, num_steps),
        used,
        resident,
        is_shared=is_shared,
    )
    zeros = np.zeros((2, 3))
    state, _, step = run_steps(zeros, zeros, zeros, picks, 5)
    expected = [[(data if is_shared else data[i, j])[picks[i, j, 0]] for j in range(3)] for i in range(2)]
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
        monkeypatch.setattr(devices.multihost_utils, "process_allgather", found)
        with devices.raised_together():
            if mine:
                raise mine

    opened(None)
    opened(None, None)
    for errors in ([UserError("mine")], [UserError("mine"), None], [UserError("mine"), UserError("other")]):
        with pytest.raises(UserError, match="mine"):
            opened(*errors)
    with pytest.raises(UserError, match="Another process cannot begin; its own message says why"):
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
