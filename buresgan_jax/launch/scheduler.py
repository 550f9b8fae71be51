"""Runs many cells in the way that is fastest on the machine: a process per core, or one vmap per device."""

import contextlib
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Sequence

import jax
from absl import logging

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.cli.command_flags import CACHE, CACHE_DIR, TOGETHER, cache_arguments
from buresgan_jax.errors import UserError, one_line
from buresgan_jax.evaluation import tables
from buresgan_jax.launch import processes
from buresgan_jax.launch.processes import Cell, Outcome
from buresgan_jax.runtime import compilation_cache, memory, process
from buresgan_jax.runtime.paths import user_path
from buresgan_jax.runtime.signals import StoppedError, StopSignals
from buresgan_jax.training import loop
from buresgan_jax.training.layouts import Stacked
from buresgan_jax.training.opening import open_data, open_run

RESULTS = "results.csv"


def call(program: Callable[[], int], argv: list[str]) -> int:
    """Calls a program of many runs.

    Args:
        program: Function that returns the exit status.
        argv: The program's name and the arguments that are not flags.

    Returns:
        The program's exit status; 2 for an error that the user can fix, 1 for an error such as a full disk, each in one
        line on standard error; 129, 130 or 143 after a signal.
    """
    logging.set_verbosity(logging.WARNING)
    process.tune_for_cpu()
    process.quiet_libraries()
    try:
        if argv[1:]:
            raise UserError(f"Unexpected arguments: {' '.join(argv[1:])}. Options are written --name=value.")
        if TOGETHER.value == "processes":  # the runs need the GPUs' memory, which this process would hold
            jax.config.update("jax_platforms", "cpu")
        if CACHE.value:
            compilation_cache.enable(CACHE_DIR.value)
        return program()
    except UserError as error:
        print(one_line(error), file=sys.stderr)
        return 2
    except OSError as error:  # such as a full disk
        print(f"Cannot read or write: {error}. Rerun the same command to resume.", file=sys.stderr)
        return 1
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not memory.exhausted(error):
            raise
        print(memory.exhausted(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        return 128 + getattr(error, "signal_number", signal.SIGINT)


def local_folder(workdir: str) -> pathlib.Path:
    """Returns the folder of many runs; UserError if it is remote, or its table is something else's."""
    if "://" in workdir:
        raise UserError(f"--workdir={workdir}: many runs need a local folder.")
    folder = pathlib.Path(user_path(workdir, "--workdir"))
    file = folder / RESULTS
    if file.exists() and not (file.is_file() and tables.STATUS.encode() in file.read_bytes().partition(b"\n")[0]):
        raise UserError(f"{file} is not the table of a sweep or suite. Move it away, or choose another --workdir.")
    return folder


def share(all_cells: Sequence[Cell], workdir: pathlib.Path) -> list[Cell]:
    """Prepares files that the evaluators of several cells use together.

    Args:
        all_cells: The cells.
        workdir: The folder of these files. Missing files are made.

    Returns:
        The cells, with the files' paths in their configs and arguments.
    """
    found, shared = {}, []
    for cell in all_cells:
        needs = str((cell.config.data, cell.config.evaluation.classifier, cell.config.smoke))
        if needs not in found:
            found[needs] = builders.shared_by_runs(cell.config, workdir.absolute())
        config = cell.config.copy_and_resolve_references()
        config.update_from_flattened_dict(found[needs])
        words = (f"--config.{key}={value}" for key, value in found[needs].items())
        shared.append(cell._replace(arguments=(*cell.arguments, *words), config=config))
    return shared


def run(all_cells: Sequence[Cell], workdir: pathlib.Path, *, how: str, jobs: int | None) -> list[Outcome]:
    """Runs the unfinished cells, and reports each on standard error when it ends.

    Args:
        all_cells: The cells.
        workdir: The folder that holds their workdirs and their common files (`share`).
        how: `processes` (one per core or GPU), `vmap` (runs that differ only in traced values run at once, on every
            device of this process), or `auto`: `processes` on a CPU, where one vmap is slower than runs in turn, and
            `vmap` elsewhere.
        jobs: Number of runs at a time. Default: one process per core or GPU; under one vmap, all of them. Each run has
            its own copy of networks and batches on the device.

    Returns:
        The outcomes, in the order of the cells.
    """
    is_vmap = how == "vmap" or (how == "auto" and jax.default_backend() != "cpu")
    print(f"{len(all_cells)} runs, {'under vmap' if is_vmap else 'one process each'}", file=sys.stderr, flush=True)
    found = [processes.finished(cell) for cell in all_cells]
    left = share([cell for cell, outcome in zip(all_cells, found, strict=True) if outcome is None], workdir)
    report = processes.Report(len(all_cells), len(all_cells) - len(left))
    if is_vmap:
        new = iter(_run_stacked(left, jobs, report))
    else:
        left = [cell._replace(arguments=(*cell.arguments, *cache_arguments())) for cell in left]
        new = iter(processes.run_cells(left, jobs=jobs, report=report))
    return [outcome or next(new) for outcome in found]


def _run_stacked(all_cells, jobs, report):
    outcomes, groups = [None] * len(all_cells), {}
    for index, cell in enumerate(all_cells):
        shared = config_lib.flatten(cell.config)
        for key in config_lib.traced_keys(cell.config):
            del shared[key]
        groups.setdefault(str(shared), []).append(index)
    size = jobs or len(all_cells)
    for part in [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]:
        try:
            for index, outcome, seconds in _run_group(part, all_cells):
                outcomes[index] = outcome
                report(all_cells[index], outcome, seconds)
        except (UserError, OSError, jax.errors.JaxRuntimeError) as error:  # the other groups still run
            for index in (index for index in part if outcomes[index] is None):
                outcomes[index] = Outcome("failed", {}, one_line(error))
                report(all_cells[index], outcomes[index], 0.0)
    return outcomes


def _run_group(group, all_cells):
    """Yields `(index, outcome, seconds)` of the cells of a group."""
    configs = {index: all_cells[index].config.copy_and_resolve_references() for index in group}
    num_sources = len({builders.source_key(config) for config in configs.values()})
    copies = 1 if num_sources == 1 else -(-len(group) // jax.local_device_count())  # of the data, per device
    options = {"open_data": _once_per_source(), "data_copies": copies}
    with StopSignals(alone=True) as signals, contextlib.ExitStack() as stack:
        by_start = {}
        for index, config in configs.items():
            rows = slice(0, config.training.batch_size)
            opened, recorder = open_run(config, all_cells[index].workdir, signals, rows=rows, **options)
            stack.callback(recorder.close)
            by_start.setdefault(opened.start, {})[index] = opened, recorder
        _check_traced([(opened.config, opened.state) for runs in by_start.values() for opened, _ in runs.values()])
        for runs in by_start.values():  # runs that had diverged resume at an earlier step
            begin, recorders = time.monotonic(), [recorder for _, recorder in runs.values()]
            stacked = Stacked([opened for opened, _ in runs.values()], all_cells[group[0]].workdir.parent)
            diverged = loop.train(stacked, recorders, signals, begin=begin)
            for position, index in enumerate(runs):
                outcome = _outcome(recorders[position], diverged.get(position))
                yield index, outcome, time.monotonic() - begin
        if signals.number:  # the signal arrived when these runs were done
            raise StoppedError("Stopped. Rerun the same command to resume.", signals.number)


def _check_traced(runs):
    """Raises UserError if runs differ in a traced key that their states do not hold: they would all train alike."""
    (first, state), *others = runs
    for config, other in others:
        values, known = config_lib.flatten(config), config_lib.flatten(first)
        keys = [key for key in config_lib.traced_keys(first) - {"seed"} if values[key] != known[key]]
        same = {name: float(value) for name, value in state.hyperparameters.items()}
        if keys and same == {name: float(value) for name, value in other.hyperparameters.items()}:
            raise UserError(
                f"{keys[0]} is declared as traced, but is no entry of state.hyperparameters: runs that differ in it "
                "cannot train under one vmap. Use --together=processes, or add it to Game.hyperparameters."
            )


def _outcome(recorder, divergence):
    if divergence is not None:
        return Outcome("diverged", {}, f"Training diverged at {divergence}")
    if recorder.evaluation_error:  # as for a single run, which exits with status 2
        return Outcome("failed", {}, f"An evaluation failed {recorder.evaluation_error}")
    return Outcome("done", recorder.final)


def _once_per_source():
    """Makes a function like `open_data` that opens equal data once."""
    opened = {}

    def open_once(config):
        key = builders.source_key(config)
        if key not in opened:
            opened[key] = open_data(config)
        return opened[key]

    return open_once
