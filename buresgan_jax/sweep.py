"""`python -m buresgan_jax.sweep`: one config for many seeds and settings, at once, resumable, with a table at the end.

    python -m buresgan_jax.sweep --config=configs/ring.py --workdir=runs/sweep --seeds=0:10
    python -m buresgan_jax.sweep --config=configs/ring.py --workdir=runs/weights --seeds=0:3 \
        --grid=penalty.weight=0.3,1,3 --grid=optimizer.generator_learning_rate=1e-3,3e-4

Each run has a folder of its own in the workdir, as if `buresgan_jax.main` had made it. `--together=processes` gives it
a process that is pinned to a core, the fastest way on a CPU; `--together=vmap` trains the runs that differ in traced
values only (seeds, learning rates, weights) under one vmap per device; `auto` takes the first on a CPU, the second
elsewhere.
"""

import ast
import contextlib
import difflib
import itertools
import pathlib
import signal
import sys
import time

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from buresgan_jax import blas, cells, compilation_cache, flag_errors, tables, train, xla
from buresgan_jax import config as config_lib
from buresgan_jax.cells import Cell, Outcome
from buresgan_jax.command_flags import CONFIG, WORKDIR
from buresgan_jax.errors import UserError
from buresgan_jax.parallel import Stacked
from buresgan_jax.run import Run
from buresgan_jax.signals import StopSignals

_SEEDS = flags.DEFINE_string("seeds", "0:1", "Seeds, such as 0:10 (ten) or 3,5,8.")
_GRID = flags.DEFINE_multi_string("grid", [], "KEY=VALUE,VALUE,... of the config; several make a product.")
_TOGETHER = flags.DEFINE_enum("together", "auto", ["auto", "processes", "vmap"], "How runs go on at once.")
_JOBS = flags.DEFINE_integer("jobs", None, "processes: how many at a time; default: one per core.", lower_bound=1)


def parse_seeds(text: str) -> list[int]:
    """`0:10` or `3,5,8` as numbers."""
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            seeds = list(range(first, last))
        else:
            seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds={text}: give different seeds of at least 0, such as 0:10 or 3,5,8.")
    return seeds


def parse_grid(arguments: list[str], config) -> dict[str, list]:
    """`KEY=VALUE,...` as values by key; they must be keys of the config."""
    grid, known = {}, config_lib.flatten(config)
    for argument in arguments:
        key, _, text = argument.partition("=")
        key = key.removeprefix("config.")
        if key not in known or key == "seed":
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = "Use --seeds." if key == "seed" else f"Did you mean {nearest[0]!r}?" if nearest else ""
            raise UserError(f"--grid={argument}: unknown config key {key!r}. {hint}".rstrip())
        grid[key] = [_value(word, key, config) for word in _words(text)]
        if not grid[key] or len(set(map(str, grid[key]))) < len(grid[key]):
            raise UserError(f"--grid={argument}: give different values with commas between them.")
    return grid


def _words(text):
    """Splits at the commas outside of parentheses."""
    words, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            words.append("")
        else:
            words[-1] += letter
    return [word.strip() for word in words if word.strip()]


def _value(word, key, config):
    """The word as what the config accepts for the key."""
    value = word
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(word)
    try:
        config.copy_and_resolve_references().update_from_flattened_dict({key: value})
    except (TypeError, ValueError) as error:
        raise UserError(f"--grid={key}: {word!r} does not fit: {' '.join(str(error).split())}") from error
    return value


def make_cells(config, workdir: pathlib.Path, seeds, grid, arguments) -> list[Cell]:
    """One cell per seed and setting; `arguments` give the config that all share."""
    made = []
    for values in itertools.product(*grid.values()):
        for seed in seeds:
            labels = dict(zip(grid, values, strict=True)) | {"seed": seed}
            folder = ",".join(f"{key}={value}" for key, value in labels.items()).replace("/", "_")
            flags_of_cell = [f"--config.{key}={value}" for key, value in labels.items()]
            steps = labels.get("training.num_steps", config.training.num_steps)
            made.append(Cell(labels, workdir / folder, (*arguments, *flags_of_cell), steps))
    return made


# Under one vmap


def run_stacked(all_cells: list[Cell], config, workdir: pathlib.Path, report) -> list[Outcome]:
    """Runs all cells that are not finished, those at once that differ in traced values only.

    Raises:
        StoppedError: SIGTERM or Ctrl-C came; all runs have saved.
    """
    outcomes = {index: cells.finished(cell) for index, cell in enumerate(all_cells)}
    groups = {}
    for index in (index for index, outcome in outcomes.items() if outcome is None):
        labels = all_cells[index].labels
        groups.setdefault(str({key: labels[key] for key in labels.keys() - config_lib.TRACED_KEYS}), []).append(index)
    for group in groups.values():
        for index, outcome, seconds in _run_group(group, all_cells, config, workdir):
            outcomes[index] = outcome
            report(all_cells[index], outcome, seconds)
    return [outcomes[index] for index in range(len(all_cells))]


def _run_group(group, all_cells, config, workdir):
    with StopSignals(alone=True) as signals, contextlib.ExitStack() as stack:
        runs = {}
        for index in group:
            own = config.copy_and_resolve_references()
            own.update_from_flattened_dict(all_cells[index].labels | {"data.resident": False})
            run = Run(own, all_cells[index].workdir, signals, rows=slice(0, own.training.batch_size))
            stack.callback(run.close)
            runs.setdefault(run.start, {})[index] = run
        for together in runs.values():  # those that had diverged are behind the others
            begin = time.monotonic()
            diverged = train.train(Stacked(list(together.values()), workdir), signals, begin=begin)
            for position, (index, run) in enumerate(together.items()):
                outcome = Outcome("done", run.final)
                if position in diverged:
                    outcome = Outcome("diverged", {}, f"Training diverged at {diverged[position]}")
                yield index, outcome, time.monotonic() - begin


# Command line


def _run(argv):
    if argv[1:]:
        raise UserError(f"Unexpected arguments: {' '.join(argv[1:])}. Options are written --name=value.")
    if CONFIG.value is None or WORKDIR.value is None:
        raise UserError("Give a config file and a folder: --config=configs/ring.py --workdir=runs/sweep.")
    config, workdir = CONFIG.value, pathlib.Path(WORKDIR.value)
    grid = parse_grid(_GRID.value, config)
    all_cells = make_cells(config, workdir, parse_seeds(_SEEDS.value), grid, _config_arguments())
    is_vmap = _TOGETHER.value == "vmap" or (_TOGETHER.value == "auto" and jax.default_backend() != "cpu")
    print(f"{len(all_cells)} runs, {'under vmap' if is_vmap else 'one process each'}", file=sys.stderr, flush=True)
    report = cells.Report(len(all_cells), sum(cells.finished(cell) is not None for cell in all_cells))
    if is_vmap:
        outcomes = run_stacked(all_cells, config, workdir, report)
    else:
        outcomes = cells.run_cells(all_cells, jobs=_JOBS.value, report=report)
    rows = cells.rows(all_cells, outcomes)
    (workdir / "results.csv").write_text(tables.to_csv(rows))
    columns = ["seconds_per_step", *cells.metric_names(rows, all_cells[0].labels)]
    print(tables.to_markdown(rows, by=list(grid), columns=columns))
    return 0 if all(outcome.status == "done" for outcome in outcomes) else 1


def _config_arguments():
    """The flags that gave the config, for the command line of a cell."""
    flag = flags.FLAGS["config"]
    overrides = config_flags.get_override_values(flag)
    return (
        f"--config={config_flags.get_config_filename(flag)}",
        *(f"--config.{key}={value}" for key, value in overrides.items()),
    )


def main(argv: list[str]) -> int:
    """Does what the flags say; returns the exit status: 0 if all runs are done, 1 if one is not."""
    logging.set_verbosity(logging.WARNING)
    blas.limit_threads(1)
    xla.choose_cpu_kernels()
    try:
        compilation_cache.enable()
        return _run(argv)
    except UserError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        return 128 + getattr(error, "signal_number", signal.SIGINT)


if __name__ == "__main__":
    app.run(main, flags_parser=flag_errors.parse_or_exit)
