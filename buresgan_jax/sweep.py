"""`python -m buresgan_jax.sweep`: one config for many seeds and settings, at once, resumable, with a table at the end.

    python -m buresgan_jax.sweep --config=configs/ring.py --workdir=runs/sweep --seeds=0:10
    python -m buresgan_jax.sweep --config=configs/ring.py --workdir=runs/weights --seeds=0:3 \
        --grid=penalty.weight=0.3,1,3 --grid=optimizer.generator_learning_rate=1e-3,3e-4

Each run has a folder of its own in the workdir, as if `buresgan_jax.main` had made it. `--together=processes` gives it
a process of its own: pinned to a core, the fastest way on a CPU, or with one GPU, which several share by `--jobs`;
`--together=vmap` trains the runs that differ in traced values only (seeds, learning rates, weights) under one vmap per
device; `auto` takes the first on a CPU, the second elsewhere.
"""

import copy
import itertools
import pathlib

from absl import app, flags
from ml_collections import config_flags

from buresgan_jax import config as config_lib
from buresgan_jax.cli import command_flags, flag_errors
from buresgan_jax.cli.command_flags import CONFIG, JOBS, TOGETHER, WORKDIR
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import tables
from buresgan_jax.launch import processes, scheduler
from buresgan_jax.launch.processes import Cell

flags.adopt_module_key_flags(command_flags)  # so that --help shows them
_SEEDS = flags.DEFINE_string("seeds", "0:1", "Seeds, such as 0:10 (ten) or 3,5,8.")
_GRID = flags.DEFINE_multi_string("grid", [], "KEY=VALUE,VALUE,... of the config; several make a product.")


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
    grid = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        key = key.removeprefix("config.")
        if key == "seed":
            raise UserError(f"--grid={argument}: seeds are given by --seeds.")
        if key in grid:
            raise UserError(f"--grid={argument}: {key} is given twice.")
        grid[key] = [config_lib.parse_value(config, key, word) for word in _words(text)]
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


def make_cells(config, workdir: pathlib.Path, seeds, grid, arguments) -> list[Cell]:
    """One cell per seed and setting; `arguments` give the config that all share. UserError: a key changes nothing."""
    made = []
    for values in itertools.product(*grid.values()):
        for seed in seeds:
            labels = dict(zip(grid, values, strict=True)) | {"seed": seed}
            folder = ",".join(f"{key}={value}" for key, value in labels.items()).replace("/", "_")
            flags_of_cell = [f"--config.{key}={value}" for key, value in labels.items()]
            shared = [each for each in arguments if each.partition("=")[0].removeprefix("--config.") not in labels]
            own = copy.deepcopy(config)  # what follows another key goes on following it
            own.update_from_flattened_dict(labels)
            made.append(Cell(labels, workdir / folder, (*shared, *flags_of_cell), own))
    for key in grid:
        reasons = [config_lib.unread(cell.config, [key]).get(key) for cell in made]
        if all(reasons):
            raise UserError(f"--grid={key}=...: all its runs would be the same. {reasons[0]}.")
    return made


# Command line


def _run():
    if CONFIG.value is None or WORKDIR.value is None:
        raise UserError("Give a config file and a folder: --config=configs/ring.py --workdir=runs/sweep.")
    config, workdir = CONFIG.value, scheduler.local_folder(WORKDIR.value)
    grid = parse_grid(_GRID.value, config)
    all_cells = make_cells(config, workdir, parse_seeds(_SEEDS.value), grid, _config_arguments())
    workdir.mkdir(parents=True, exist_ok=True)
    outcomes = scheduler.run(all_cells, workdir, how=TOGETHER.value, jobs=JOBS.value)
    rows = processes.rows(all_cells, outcomes)
    (workdir / "results.csv").write_text(tables.to_csv(rows))
    columns = ["seconds_per_step", *processes.metric_names(rows, all_cells[0].labels)]
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
    return scheduler.call(_run, argv)


if __name__ == "__main__":
    app.run(main, flags_parser=flag_errors.parse_or_exit)
