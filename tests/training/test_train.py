"""The training loop in this process, on four CPU devices: N devices equal one, stops are exact, errors are reported."""

import contextlib
import itertools
import json
import os
import signal
import threading

import jax
import numpy as np
import pytest
from helpers import assert_same, make_config, read_metrics

from buresgan_jax import builders
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation.evaluators import evaluate
from buresgan_jax.runtime.signals import StoppedError
from buresgan_jax.training import checkpoint, devices, loop, opening, recorder, saved_run
from buresgan_jax.training.workdir import lock_workdir

# Devices


def test_batches_are_split_in_the_order_of_the_devices():
    batches = np.arange(2 * 1 * 8 * 3).reshape(2, 1, 8, 3)
    split = devices.Layout(8, slice(0, 8), 4).split(batches)
    assert split.shape == (4, 2, 1, 2, 3)
    np.testing.assert_array_equal(split[1], batches[:, :, 2:4])


def test_a_batch_that_the_devices_cannot_share_is_refused():
    with pytest.raises(ValueError, match="batch_size 6 is not divisible by the 4 devices"):
        devices.Layout.create(6)


def test_calls_end_at_every_interval_and_cover_every_step():
    calls = list(loop.plan_calls(7, 50, 8, (10, 15)))
    assert [start for start, _ in calls] == [7, *(stop for _, stop in calls[:-1])]
    assert calls[-1][1] == 50
    assert {10, 15, 20, 30, 40, 45} <= {stop for _, stop in calls}
    assert all(0 < stop - start <= 8 for start, stop in calls)


def test_a_run_that_cannot_begin_closes_its_files(tmp_path, monkeypatch):
    closed = []

    def watch(target, name):
        close = target.close
        monkeypatch.setattr(target, "close", lambda self: [closed.append(name), close(self)])

    def fail(*_):
        raise UserError("no data")

    for target in (checkpoint.Checkpointer, recorder.Recorder):
        watch(target, target.__name__)
    for module, name, expected in (
        (recorder.Recorder, "draw_real", ["Recorder", "Checkpointer"]),
        (opening, "save_config", ["Checkpointer"]),
    ):
        monkeypatch.setattr(module, name, fail)
        closed.clear()
        with pytest.raises(UserError, match="no data"):
            loop.train_and_evaluate(make_config(), tmp_path)
        assert closed == expected
        lock_workdir(tmp_path).close()  # it is free


# Stopping and going on


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A workdir, and the state at its end."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    return workdir, loop.train_and_evaluate(make_config("alternating_bures"), workdir)


def send_at_log(monkeypatch, number, count=1):
    """Sends a signal to this process at its first log."""
    take, numbers = loop.DataParallel.take_trackers, [number] * count

    def take_and_send(parallel):
        while numbers:
            os.kill(os.getpid(), numbers.pop())
        return take(parallel)

    monkeypatch.setattr(loop.DataParallel, "take_trackers", take_and_send)


def test_a_signal_saves_and_the_next_run_goes_on_exactly(uninterrupted, tmp_path, monkeypatch, caplog):
    number = signal.SIGTERM
    config = make_config("alternating_bures")
    with monkeypatch.context() as patch:
        send_at_log(patch, number)
        with pytest.raises(StoppedError, match=f"{number.name}: stopped at step [0-9]+, saved in ") as stopped:
            loop.train_and_evaluate(config, tmp_path)
    assert stopped.value.signal_number == number
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    assert 4 < checkpoint.Checkpointer(tmp_path, read_only=True).latest_step() < 12
    (tmp_path / "data.json").write_text('{"data": "3 files"}')
    asked = []
    monkeypatch.setattr(builders, "data_fingerprint", lambda config: asked.append(config.seed) or "4 files")
    assert_same(loop.train_and_evaluate(config, tmp_path), uninterrupted[1])
    assert asked == [config.seed]  # once, for it walks a folder
    assert f"The data have changed since the run in {tmp_path} began: 3 files then, 4 files now." in caplog.text
    # The means of the metrics too, though the stop came between two logs.
    assert read_metrics(tmp_path) == read_metrics(uninterrupted[0])


def test_two_runs_in_one_workdir_are_refused_while_the_first_one_goes_on(tmp_path):
    with lock_workdir(tmp_path):
        with pytest.raises(UserError, match=f"is in use by process {os.getpid()}, which trains there. Wait until"):
            loop.train_and_evaluate(make_config(training__num_steps=2), tmp_path)
        assert not (tmp_path / "config.json").exists()
    loop.train_and_evaluate(make_config(training__num_steps=2), tmp_path)
    lock_workdir(tmp_path).close()  # it was given back


def test_a_run_that_cannot_begin_gives_its_workdir_back(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device")

    config = make_config(training__num_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "MetricWriter", full)
        with pytest.raises(OSError, match="No space left"):
            loop.train_and_evaluate(config, tmp_path)
    loop.train_and_evaluate(config, tmp_path)


@pytest.mark.parametrize("method", ["bures", "wgan_gp", "veegan"])
def test_training_is_in_float32_where_float64_is_enabled(x64, tmp_path, method):
    loop.train_and_evaluate(make_config(method, training__num_steps=2), tmp_path)
    leaves = jax.tree.leaves(saved_run.load(tmp_path)[2])
    assert {str(leaf.dtype) for leaf in leaves if np.issubdtype(leaf.dtype, np.floating)} == {"float32"}


def test_ctrl_c_twice_stops_without_saving(tmp_path, monkeypatch):
    send_at_log(monkeypatch, signal.SIGINT, count=2)
    with pytest.raises(StoppedError, match="SIGINT again: stopped at once"):
        loop.train_and_evaluate(make_config(), tmp_path)
    assert checkpoint.Checkpointer(tmp_path, read_only=True).latest_step() is None


def test_a_signal_before_the_first_step_stops_at_once(tmp_path, monkeypatch):
    def slow_source(config):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(builders, "source", slow_source)
    with pytest.raises(StoppedError, match="SIGINT: stopped before the first step"):
        loop.train_and_evaluate(make_config(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_training_in_another_thread_works(tmp_path):
    thread = threading.Thread(target=loop.train_and_evaluate, args=(make_config(training__num_steps=2), tmp_path))
    thread.start()
    thread.join()
    assert checkpoint.Checkpointer(tmp_path, read_only=True).latest_step() == 2


def test_more_steps_go_on_from_a_finished_run(uninterrupted, tmp_path, capfd):
    config = make_config("alternating_bures", training__num_steps=5)
    loop.train_and_evaluate(config, tmp_path)
    lines = read_metrics(tmp_path)
    capfd.readouterr()
    assert int(loop.train_and_evaluate(config, tmp_path).step) == 5  # again: there is nothing to do
    assert json.loads(capfd.readouterr().out.removeprefix("final "))["ema_modes"] >= 0
    assert read_metrics(tmp_path) == lines
    free = {"training__log_every_steps": 3, "training__keep_checkpoints": 1, "evaluation__num_samples": 32}
    state = loop.train_and_evaluate(make_config("alternating_bures", **free), tmp_path)
    assert_same(state, uninterrupted[1])
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith("alternating_bures: endless points of ring, 8 per batch")
    assert said[1] == "resuming at step 5"
    assert said[2].startswith("compiling, some seconds the first time")
    assert [line["step"] for line in read_metrics(tmp_path) if line["split"] == "train"] == [4, 5, 6, 9, 12]


@pytest.mark.slow  # that the batches are equal is in test_data_feed.py
def test_data_may_lie_on_the_devices_or_be_streamed_even_in_turn(tmp_path):
    def run_to(step, name, resident):
        config = make_config(data__num_examples=60, data__resident=resident, training__num_steps=step)
        return loop.train_and_evaluate(config, tmp_path / name)

    run_to(6, "in_turn", True)  # 12 steps are two epochs
    assert_same(run_to(12, "in_turn", False), run_to(12, "resident", True))


def test_one_program_is_compiled_for_calls_of_all_lengths(tmp_path, monkeypatch):
    traces = []
    make_run_steps = devices.make_run_steps

    def make_counted(*args):
        run_steps = make_run_steps(*args)
        return lambda *inputs: (traces.append(1), run_steps(*inputs))[1]

    monkeypatch.setattr(devices, "make_run_steps", make_counted)
    loop.train_and_evaluate(make_config(training__log_every_steps=3), tmp_path)
    assert len(traces) == 1


def test_logs_wait_until_the_next_calls_are_dispatched_and_are_written_before_a_checkpoint(tmp_path, monkeypatch):
    events = []

    def noted(owner, name, step_of):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: (events.append((name, step_of(args))), function(*args))[1])

    dispatched = itertools.count(2, 2)  # two steps a call
    noted(loop.DataParallel, "step", lambda args: next(dispatched))
    noted(recorder.Recorder, "log", lambda args: args[1])
    noted(recorder.Recorder, "save", lambda args: args[1])
    loop.train_and_evaluate(make_config(training__checkpoint_every_steps=12), tmp_path)
    steps = {name: [step for other, step in events if other == name] for name, _ in events}
    assert steps == {"step": [2, 4, 6, 8, 10, 12], "log": [4, 8, 12], "save": [12]}
    assert events.index(("step", 8)) < events.index(("log", 4))
    assert events.index(("step", 12)) < events.index(("log", 8))
    assert events[-1] == ("save", 12)
    lines = read_metrics(tmp_path)
    assert [(line["step"], line["split"]) for line in lines] == [
        (4, "train"),
        (8, "train"),
        (12, "train"),
        (12, "eval"),
    ]


# Trouble


def test_diverged_training_names_step_metric_and_checkpoint_and_saves_nothing_after(tmp_path, monkeypatch):
    source = builders.source(make_config())

    def fetch(indices):  # eight a step, in order: NaN in the steps 9 and 10
        return np.where((indices // 16 == 4)[:, None], np.float32("nan"), source.fetch(indices))

    monkeypatch.setattr(builders, "source", lambda config: source._replace(fetch=fetch))
    message = r"^step 9: discriminator_loss is not finite. The last good checkpoint is step 6 \(.*\)"
    with pytest.raises(loop.DivergedError, match=message):
        loop.train_and_evaluate(make_config(), tmp_path)
    assert checkpoint.Checkpointer(tmp_path, read_only=True).latest_step() == 6
    assert max(line["step"] for line in read_metrics(tmp_path)) == 8


def test_huge_learning_rate_ends_before_anything_is_saved(tmp_path):
    config = make_config(optimizer__discriminator_learning_rate=1e38, training__checkpoint_every_steps=1)
    with pytest.raises(loop.DivergedError, match=r"step \d+: .* is not finite"):
        loop.train_and_evaluate(config, tmp_path)
    with contextlib.closing(checkpoint.Checkpointer(tmp_path, read_only=True)) as checkpointer:
        step = checkpointer.latest_step()
    assert step is None or step < 4
    # No checkpoint, nothing to lose: another config may have the workdir.
    if step is None:
        loop.train_and_evaluate(make_config(), tmp_path)


def test_evaluation_counts_samples_that_are_not_finite():
    def draw(*, ema):
        samples = np.zeros((16, 2), np.float32)
        samples[:3, 1] = np.nan
        return samples if ema else samples + np.inf

    entries = evaluate(builders.evaluators(make_config(), workdir="unused"), draw)
    assert {name: entry["value"] for name, entry in entries} == {"non_finite_samples": 16, "ema_non_finite_samples": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training__num_steps": 0}, "config.training.num_steps must be at least 1, got 0"),
        ({"evaluation__num_samples": 0}, "config.evaluation.num_samples must be at least 1, got 0"),
        ({"method": "bures", "bures__max_samples": 0}, "config.bures.max_samples must be at least 1, got 0"),
        ({"generator__base_filters": 0}, "config.generator.base_filters must be at least 1, got 0"),
        ({"generator__hidden": (8, 0)}, r"config.generator.hidden must be the widths .* got \(8, 0\)"),
        ({"discriminator__hidden": ()}, r"config.discriminator.hidden must be the widths .* got \(\)"),
        ({"training__batch_size": 20_004, "data__num_examples": 100}, "batch_size 20004 is more than the 100 examples"),
        ({"data__resident": True}, "data.resident=True needs a finite data set, but 'ring' is endless"),
    ],
)
def test_impossible_numbers_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        loop.train_and_evaluate(make_config(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []
