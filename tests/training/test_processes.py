"""Whole runs in separate processes: killed, stopped, resumed, on several devices and in two processes."""

import json
import os
import shutil
import signal
import socket
import time
from functools import partial

import helpers
import jax
import numpy as np
import pytest
from helpers import assert_close_parameters, assert_same

from buresgan_jax import builders, data
from buresgan_jax.training import devices, loop, saved_run
from buresgan_jax.training.workdir import read_config

LAST = 2500
OPTIONS = {
    "training.num_steps": LAST,
    "training.steps_per_call": 10,
    "training.log_every_steps": 30,
    "training.checkpoint_every_steps": 100,
    "training.keep_checkpoints": 3,
    "training.sample_every_steps": 0,
    "evaluation.every_steps": 0,
}


def start(workdir, *more, devices=1, **options):
    """Starts a run of a tiny BuresGAN on the ring."""
    options = OPTIONS | {key.replace("__", "."): value for key, value in options.items()}
    flags = [f"--config.{key}={value}" for key, value in options.items()]
    config = "--config=configs/ring.py:alternating_bures,smoke"
    return helpers.start(config, f"--workdir={workdir}", *flags, *more, devices=devices)


def free_port():
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        return unused.getsockname()[1]


def checkpoints(workdir):
    folder = workdir / "checkpoints"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []


def wait_for_checkpoint(workdir, processes, after=0, timeout=120):
    """Waits until a run has saved a step beyond `after`."""
    end = time.monotonic() + timeout
    while not any(step > after for step in checkpoints(workdir)):
        assert all(process.poll() is None for process in processes), helpers.finish(processes[0])
        assert time.monotonic() < end
        time.sleep(0.02)


def read_metrics(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def load_state(workdir):
    return saved_run.load(workdir)[2]


def run_here(workdir):
    """The rest of a run in this process, on its four devices."""
    return loop.train_and_evaluate(read_config(workdir), workdir)


def test_killed_and_stopped_runs_end_in_the_same_bits_as_an_uninterrupted_one(tmp_path):
    whole, workdir = tmp_path / "whole", tmp_path / "stopped"
    assert helpers.finish(start(whole)).status == 0

    process = start(workdir)
    wait_for_checkpoint(workdir, [process])
    reads = [int(load_state(workdir).step) for _ in range(3)]  # reading beside a running training disturbs nothing
    process.kill()
    assert helpers.finish(process).status == -signal.SIGKILL
    assert reads == sorted(reads)
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(workdir)
        wait_for_checkpoint(workdir, [process], after=checkpoints(workdir)[-1])
        process.send_signal(number)
        result = helpers.finish(process)
        assert result.status == 128 + number, result.err
        lines = result.err.splitlines()
        assert lines[-1].startswith(f"{number.name}: stopped at step {checkpoints(workdir)[-1]}, saved in ")
        assert "Traceback" not in result.err

    result = helpers.finish(start(workdir))
    assert result.status == 0, result.err
    assert json.loads(result.out.splitlines()[-1].removeprefix("final "))["step"] == LAST
    assert_same(load_state(workdir), load_state(whole))
    assert read_metrics(workdir) == read_metrics(whole)
    assert not (workdir / "bad_checkpoints").exists()


def test_a_run_killed_on_four_devices_goes_on_there_exactly_and_on_one_and_two_too(tmp_path):
    whole, workdir = tmp_path / "whole", tmp_path / "killed"
    process = start(workdir, devices=4, training__num_steps=600)
    wait_for_checkpoint(workdir, [process])
    process.kill()
    helpers.finish(process)
    step = checkpoints(workdir)[-1]
    others = []
    for num_devices in (1, 2):
        copy = shutil.copytree(workdir, tmp_path / str(num_devices))
        others.append((copy, start(copy, devices=num_devices, training__num_steps=step + 3)))

    whole.mkdir()
    shutil.copy(workdir / "config.json", whole)
    assert_same(run_here(workdir), run_here(whole))
    assert read_metrics(workdir) == read_metrics(whole)
    results = [helpers.finish(other).status for _, other in others]
    assert results == [0, 0]
    # Three steps from the same checkpoint, on one and on two devices.
    one, two = (load_state(copy) for copy, _ in others)
    assert int(one.step) == step + 3
    assert_close_parameters(two, one)


def start_pair(workdir, **options):
    """Two processes with two devices each."""
    cluster = [f"--coordinator_address=localhost:{free_port()}", "--num_processes=2"]
    return [start(workdir, *cluster, f"--process_id={rank}", devices=2, **options) for rank in range(2)]


def one_device_state(config, num_steps):
    """The state after a few steps of a run, computed without pmap on one device."""
    algorithm, source = builders.algorithm(config), builders.source(config)
    key, example = jax.random.key(config.seed), np.zeros(builders.describe(config).example_shape, np.float32)
    state = jax.jit(algorithm.init)(jax.random.fold_in(key, 2**31 - 1), example)
    size, per_update = config.training.batch_size, algorithm.batches_per_update
    options = {"seed": config.seed, "batch_size": size, "batches_per_update": per_update}
    batches = data.read_steps(source, 0, num_steps, rows=slice(0, size), **options)
    tracker = devices.make_tracker(algorithm, state, devices.batch_like(algorithm, size, source.example_shape))
    run_steps = devices.make_run_steps(algorithm, partial(data.decode_payload, source), num_steps)
    return jax.jit(run_steps)(state, tracker, key, batches, num_steps)[0]


def test_two_processes_are_one_and_stop_together(tmp_path):
    workdir = tmp_path / "pair"
    often = {"training__checkpoint_every_steps": 3, "training__keep_every_steps": 3, "training__num_steps": 10**6}
    pair = start_pair(workdir, **often)
    wait_for_checkpoint(workdir, pair, timeout=240)
    for process in pair:
        process.kill()
    for process in pair:
        helpers.finish(process)

    config = read_config(workdir)
    first = tmp_path / "first"
    shutil.copytree(workdir / "checkpoints" / "3", first / "checkpoints" / "3")
    shutil.copy(workdir / "config.json", first)
    two_processes = load_state(first)
    config.training.num_steps = 3
    one_process = loop.train_and_evaluate(config, tmp_path / "one_process")
    one_device = one_device_state(config, 3)
    assert int(two_processes.step) == 3
    assert_close_parameters(two_processes, one_process)
    assert_close_parameters(two_processes, one_device)

    before = checkpoints(workdir)[-1]
    pair = start_pair(workdir, **often)
    wait_for_checkpoint(workdir, pair, after=before, timeout=240)
    pair[1].send_signal(signal.SIGTERM)
    results = [helpers.finish(process) for process in pair]
    assert [result.status for result in results] == [128 + signal.SIGTERM] * 2, results
    messages = {result.err.splitlines()[-1] for result in results}
    assert messages == {
        f"SIGTERM: stopped at step {checkpoints(workdir)[-1]}, saved in {workdir}. Run it again to resume."
    }
    steps = [line["step"] for line in read_metrics(workdir) if line["split"] == "train"]
    assert steps == list(range(30, checkpoints(workdir)[-1] + 1, 30))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_is_named_in_one_line_by_the_other(tmp_path, victim):
    workdir = tmp_path / "pair"
    pair = start_pair(workdir, training__checkpoint_every_steps=3, training__num_steps=10**6)
    wait_for_checkpoint(workdir, pair, timeout=240)
    pair[victim].kill()
    result = helpers.finish(pair[1 - victim], timeout=120)
    helpers.finish(pair[victim])
    assert result.status == 1, result
    message = f"Lost process {victim}: it was killed or cannot be reached. Rerun the same command in all processes"
    lines = result.err.splitlines()
    assert lines[-1].startswith(message)
    assert not [line for line in lines if "Traceback" in line or "coordination" in line or "Check failure" in line]


# Points that process 1 cannot read for ever.
_FAILING = """
import jax
import numpy as np
from buresgan_jax import data, declarations
from buresgan_jax.errors import UserError


@declarations.data("failing", "points that end", describe=lambda **_: data.Description((2,)), is_drawn=True)
def points(*, seed):
    num_reads = 0

    def fetch(indices):
        nonlocal num_reads
        num_reads += 1
        if num_reads > 20 and jax.process_index() == RANK:
            raise KIND("the points have ended")
        return np.zeros((len(indices), 2), np.float32)

    return data.Source("failing", None, (2,), fetch, data.decode_points)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "kind", "status"), [(1, "UserError", 2), (0, "UserError", 2), (1, "KeyError", 1)])
def test_an_error_of_one_process_ends_all(tmp_path, monkeypatch, rank, kind, status):
    (tmp_path / "failing.py").write_text(_FAILING.replace("RANK", str(rank)).replace("KIND", kind))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    pair = start_pair(tmp_path / "run", data__name="failing:points", training__num_steps=10**6)
    failed, other = (helpers.finish(pair[each], timeout=240) for each in (rank, 1 - rank))
    assert failed.status == status, failed
    assert "the points have ended" in failed.err.splitlines()[-1]
    assert ("Traceback" in failed.err) == (kind == "KeyError")
    assert other.status == 1, other
    assert other.err.splitlines()[-1].startswith("Lost ")
    assert "Traceback" not in other.err


@pytest.mark.slow
def test_two_processes_with_different_configs_both_refuse(tmp_path):
    cluster = [f"--coordinator_address=localhost:{free_port()}", "--num_processes=2"]
    pair = [start(tmp_path, *cluster, f"--process_id={rank}", seed=rank) for rank in range(2)]
    for result in [helpers.finish(process, timeout=240) for process in pair]:
        assert result.status == 2, result
        assert result.err.splitlines()[-1].startswith(
            "Processes 0 and 1 do not train the same run; they differ in config.seed"
        )
    assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "status", "message"),
    [(0, 1, "Not all processes have joined within 2 s"), (1, 2, "Process 0 does not answer at localhost:")],
)
def test_absent_processes_are_one_line(tmp_path, rank, status, message):
    cluster = [f"--coordinator_address=localhost:{free_port()}", "--num_processes=2", "--connect_timeout=2"]
    result = helpers.finish(start(tmp_path, *cluster, f"--process_id={rank}"))
    assert result.status == status, result
    (line,) = result.err.splitlines()
    assert line.startswith(message)
