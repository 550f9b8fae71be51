"""Runs that get signals at random moments: no traceback, no hang, and the same end as an uninterrupted run."""

import concurrent.futures
import os
import pty
import random
import signal
import subprocess
import sys
import time

import helpers
import pytest
from helpers import assert_same

from buresgan_jax.training import saved_run

NUM_SIGNALS, AT_ONCE = 150, 2
OPTIONS = {
    "training.num_steps": 600,
    "training.steps_per_call": 10,
    "training.log_every_steps": 50,
    "training.checkpoint_every_steps": 50,
    "training.sample_every_steps": 200,
    "evaluation.every_steps": 0,
}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@pytest.fixture(autouse=True)
def heed_signals():
    """What this process ignores, as a job in the background does, its children would ignore too."""
    old = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in old.items():
        signal.signal(number, handler)


def arguments(workdir):
    flags = [f"--config.{key}={value}" for key, value in OPTIONS.items()]
    return ["--config=configs/ring.py:bures,smoke", f"--workdir={workdir}", *flags]


def train_to_the_end(workdir):
    result = helpers.finish(helpers.start(*arguments(workdir)), timeout=900)
    assert result.status == 0, result
    return result


def is_ours(error: str) -> bool:
    """Whether the package's own code appears; Python's start, before any of it, is out of reach."""
    return "Traceback" in error and f"{helpers.ROOT / 'buresgan_jax'}{os.sep}" in error


def interrupted(workdir, draw, seconds):
    """A run of several interrupted processes in one workdir; returns a line per signal, with what was wrong."""
    found = []
    for _ in range(3):
        number, delay = draw.choice(SIGNALS), draw.uniform(0.1, 0.8 * seconds)
        process = helpers.start(*arguments(workdir))
        time.sleep(delay)
        process.send_signal(number)
        result = helpers.finish(process, timeout=900)
        is_stopped = result.status in (0, 128 + number, -number) or "Traceback" in result.err
        is_bad = not is_stopped or is_ours(result.err) or "Fatal" in result.err
        found.append((f"{number.name} after {delay:.2f} s: status {result.status}", result.err if is_bad else ""))
    return found


def test_random_signals_leave_no_traceback_and_the_same_end(tmp_path):
    train_to_the_end(tmp_path / "whole")
    begin = time.monotonic()  # again, with the programs that are now compiled
    train_to_the_end(tmp_path / "again")
    seconds, expected = time.monotonic() - begin, saved_run.load(tmp_path / "whole")[2]

    def one(index):
        workdir = tmp_path / str(index)
        found = interrupted(workdir, random.Random(index), seconds)
        train_to_the_end(workdir)
        return found, workdir

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for found, workdir in pool.map(one, range(NUM_SIGNALS // 3)):
            assert not [line for line in found if line[1]], found
            assert_same(saved_run.load(workdir)[2], expected)
            assert helpers.read_metrics(workdir) == helpers.read_metrics(tmp_path / "whole")


# Begins a session whose terminal is the given one, as a terminal's window does, and becomes the command.
_IN_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.setsid()
terminal = os.open(sys.argv[1], os.O_RDWR)
for number in range(3):
    os.dup2(terminal, number)
os.execv(sys.executable, [sys.executable, "-m", "buresgan_jax.main", *sys.argv[2:]])
"""


def test_a_terminal_that_is_closed_makes_a_run_save(tmp_path):
    workdir, whole = tmp_path / "closed", tmp_path / "whole"
    window, terminal = pty.openpty()
    command = [sys.executable, "-c", _IN_TERMINAL, os.ttyname(terminal), *arguments(workdir)]
    environment = {**os.environ, "XLA_FLAGS": helpers.xla_flags(1)}  # the same bits as `helpers.start`
    process = subprocess.Popen(command, cwd=helpers.ROOT, env=environment)
    shown = b""
    with open(window, "rb", buffering=0) as screen:
        while b"step 10:" not in shown:
            shown += screen.read(4096)
        os.close(terminal)
    assert process.wait(timeout=900) == 128 + signal.SIGHUP
    assert 0 < saved_run.load(workdir)[2].step < OPTIONS["training.num_steps"]
    train_to_the_end(workdir)
    train_to_the_end(whole)
    assert_same(saved_run.load(workdir)[2], saved_run.load(whole)[2])
