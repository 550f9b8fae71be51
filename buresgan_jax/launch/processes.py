"""Runs many cells, each in its own process with a core or a GPU. Finished cells are not run again.

A cell is one command of `buresgan_jax.main`, which can also be run by hand. Its workdir tells whether it is done; an
unfinished cell resumes. On a CPU this is the fastest way to train several small networks: each has its own core.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import config_dict

from buresgan_jax import builders
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import tables
from buresgan_jax.runtime import accelerators, signals
from buresgan_jax.runtime.cores import available_cores
from buresgan_jax.runtime.signals import StoppedError
from buresgan_jax.training import workdir
from buresgan_jax.training.data_record import check_data

_POLL_SECONDS = 0.1
_ROOT = pathlib.Path(__file__).parents[2]  # where the package is importable from, installed or not


class Cell(NamedTuple):
    """One run among many.

    Attributes:
        labels: Values that distinguish the cell from the others, such as `{"method": "bures", "seed": 3}`.
        workdir: The run's directory.
        arguments: Arguments of `buresgan_jax.main`, without `--workdir`.
        config: The config that the arguments give.
    """

    labels: dict[str, Any]
    workdir: pathlib.Path
    arguments: tuple[str, ...]
    config: config_dict.ConfigDict

    @property
    def name(self) -> str:
        """The cell's labels as text."""
        return " ".join(f"{key}={value}" for key, value in self.labels.items())


class Outcome(NamedTuple):
    """Outcome of a cell.

    Attributes:
        status: `done`, `diverged`, `failed`, or `stopped` (not finished; it resumes when it is run again).
        final: The results of the run, with its last evaluation; empty unless it is done.
        message: The last message of a run that is not done.
    """

    status: str
    final: dict[str, Any]
    message: str = ""


def finished(cell: Cell) -> Outcome | None:
    """Returns the outcome of a cell that is done and was evaluated as its config says; None for any other cell.

    Raises:
        UserError: The cell's workdir belongs to a run of another config or other data or to a longer run, or has links.
    """
    workdir.check_entries(cell.workdir)
    final, num_steps = workdir.read_final(cell.workdir), cell.config.training.num_steps
    if final.get("step", -1) < num_steps:
        return None
    changed = workdir.check_same_run(cell.config, cell.workdir)
    if changed & builders.data_places(cell.config):
        check_data(cell.config, cell.workdir, builders.data_fingerprint(cell.config), changed)
    if final["step"] > num_steps:
        raise UserError(
            f"{cell.workdir} is already at step {final['step']}, training.num_steps is {num_steps}. Use another "
            "--workdir, or as many steps."
        )
    is_outdated = any(key.startswith("evaluation.") and key not in _UNSEEN for key in changed)
    return None if is_outdated else Outcome("done", final)


# Keys that do not change the last evaluation.
_UNSEEN = ("evaluation.every_steps", "evaluation.classifier", "evaluation.best_by")


def run_cells(
    cells: Sequence[Cell], *, jobs: int | None = None, report: Callable[[Cell, Outcome, float], None]
) -> list[Outcome]:
    """Runs all unfinished cells, several at a time; one that fails does not stop the others.

    What a run prints goes to `log.txt` in its workdir.

    Args:
        cells: The cells, in the order in which they begin.
        jobs: Number of cells at a time. Default: one per core on a CPU, else one per GPU. Each is pinned to a core, or
            gets a GPU, in turn, and a fraction of its memory.
        report: Called as `(cell, outcome, seconds)` when a cell ends.

    Returns:
        The outcomes, in the order of `cells`.

    Raises:
        StoppedError: A signal arrived. All running cells have ended; they have saved unless Ctrl-C came twice.
    """
    outcomes = {index: finished(cell) for index, cell in enumerate(cells)}
    waiting = [index for index, outcome in outcomes.items() if outcome is None]
    free, running = _places(jobs) if waiting else [], {}
    with _stopping(lambda number: [process.send_signal(number) for process, _, _ in running.values()]) as stop:
        while running or (waiting and not stop):
            while waiting and free and not stop:
                index = waiting.pop(0)
                running[index] = _start(cells[index], place := free.pop(0)), place, time.monotonic()
                if stop:  # the signal arrived while the run started
                    running[index][0].terminate()
            for index, (process, place, begin) in list(running.items()):
                if process.poll() is not None:
                    del running[index]
                    free.append(place)
                    outcomes[index] = _outcome(cells[index], process.returncode)
                    report(cells[index], outcomes[index], time.monotonic() - begin)
            time.sleep(_POLL_SECONDS)
    if stop:
        raise StoppedError("Stopped. Rerun the same command to resume.", stop[0])
    return [outcomes[index] for index in range(len(cells))]


@contextlib.contextmanager
def _stopping(send: Callable[[int], object]):
    """Yields a list to which a signal appends its number, and sends the runs what makes them save, or end at once."""
    noted = []

    def handle(number, _):
        if number == signals.SIGHUP:
            signals.leave_terminal()
        if noted and number == signal.SIGINT:
            signals.say("SIGINT again: stopping the runs at once, without saving.")
            send(signal.SIGINT)  # their second signal
        elif not noted:
            signals.say(f"{signal.Signals(number).name}: waiting for the runs to save. Ctrl-C again to stop at once.")
            send(signal.SIGTERM)
        noted.append(number)

    with signals.handle(handle):
        yield noted


def command(cell: Cell) -> list[str]:
    """Returns the command line of a cell."""
    return [sys.executable, "-m", "buresgan_jax.main", *cell.arguments, f"--workdir={cell.workdir}"]


# Pins itself to a core, asks for SIGTERM at its parent's death (Linux: PR_SET_PDEATHSIG is 1), and becomes the command.
_LAUNCHER = """
import ctypes, os, signal, sys
core, *command = sys.argv[1:]
if core:
    os.sched_setaffinity(0, {int(core)})
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(command[0], command)
"""


class _Place(NamedTuple):
    """A place for a run: the core to which it is pinned, if any, and its environment variables."""

    core: int | None = None
    environment: Mapping[str, str] = {}


def _places(jobs):
    """Returns one place for each run that runs at the same time."""
    platform, num_devices = accelerators.of_children()
    if platform == "cpu":
        cores = available_cores()
        return [_Place(core) for core in (cores * (jobs or len(cores)))[: jobs or len(cores)]]
    if platform != "gpu":  # a run uses the whole accelerator
        return [_Place()] * (jobs or 1)
    options = {"num_places": jobs or num_devices, "num_gpus": num_devices, "user": os.environ}
    return [_Place(None, accelerators.environment_of_run(i, **options)) for i in range(jobs or num_devices)]


def _start(cell, place):
    cell.workdir.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    with (cell.workdir / "log.txt").open("a") as log:
        print(f"$ {shlex.join(command(cell))}", file=log, flush=True)
        return subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, "" if place.core is None else str(place.core), *command(cell)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **place.environment, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C reaches the runs through this process alone
        )


def _outcome(cell, status):
    if status == 0:
        return Outcome("done", workdir.read_final(cell.workdir))
    lines = (cell.workdir / "log.txt").read_text().splitlines()
    message = lines[-1] if lines else ""
    if status in signals.STATUSES:
        return Outcome("stopped", {}, message)
    if message.startswith("Training diverged"):
        return Outcome("diverged", {}, message)
    return Outcome("failed", {}, f"exit status {status}: {message}")


# Reports


def rows(cells: Iterable[Cell], outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Makes one flat row per cell for `tables`: labels, status, times, metrics, message."""
    return [
        {**cell.labels, tables.STATUS: outcome.status, **outcome.final, "message": outcome.message}
        for cell, outcome in zip(cells, outcomes, strict=True)
    ]


def metric_names(table: Iterable[Mapping[str, Any]], labels: Iterable[str]) -> list[str]:
    """Returns the columns of `rows` that hold metrics, in the order of appearance."""
    known = {*labels, *workdir.RUN_FACTS, tables.STATUS, "message"}
    return list(dict.fromkeys(name for row in table for name in row if name not in known))


class Report:
    """Prints a line when a cell ends."""

    def __init__(self, num_cells: int, num_finished: int):
        """Prints how many cells were done before."""
        self._num_cells, self._num_ended = num_cells, num_finished
        if num_finished:
            print(f"{num_finished} of {num_cells} runs are already done", file=sys.stderr, flush=True)

    def __call__(self, cell: Cell, outcome: Outcome, seconds: float) -> None:
        """Prints the line of a cell."""
        self._num_ended += 1
        values = {name: outcome.final[name] for name in metric_names([outcome.final], cell.labels)}
        text = outcome.message or "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        count = f"[{self._num_ended}/{self._num_cells}]"
        print(f"{count} {cell.name}: {outcome.status} after {seconds:.0f} s  {text}", file=sys.stderr, flush=True)
