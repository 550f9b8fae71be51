"""The runs of a sweep: seeds times the values of keys."""

import copy
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

from buresgan_jax import config as config_lib
from buresgan_jax.declarations import MOST_SEED
from buresgan_jax.errors import UserError
from buresgan_jax.launch.processes import Cell

_MOST_RUNS = 10_000


def parse_seeds(text: str) -> list[int]:
    """Parses `0:10` or `3,5,8` into numbers."""
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            seeds = range(first, last)[: _MOST_RUNS + 1]
        else:
            seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or max(seeds) > MOST_SEED or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds={text}: give different seeds from 0 to {MOST_SEED}, such as 0:10 or 3,5,8.")
    if len(seeds) > _MOST_RUNS:
        raise UserError(f"--seeds={text}: give at most {_MOST_RUNS:,} seeds.")
    return list(seeds)


def parse_grid(arguments: list[str], config) -> dict[str, list]:
    """Parses `KEY=VALUE,...` into values by key. The keys must be keys of the config."""
    grid = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        key = key.removeprefix("config.")
        if key == "seed":
            raise UserError(f"--grid={argument}: give seeds with --seeds.")
        if key in grid:
            raise UserError(f"--grid={argument}: {key} is given twice.")
        grid[key] = [config_lib.parse_value(config, key, word) for word in _words(text)]
        if not grid[key] or len(set(map(str, grid[key]))) < len(grid[key]):
            raise UserError(f"--grid={argument}: give different values with commas between them.")
    return grid


def _words(text):
    """Splits a text at the commas outside of parentheses."""
    words, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            words.append("")
        else:
            words[-1] += letter
    return [word.strip() for word in words if word.strip()]


def make_cells(config, workdir: pathlib.Path, seeds, grid, file: str, overrides: Mapping[str, Any]) -> list[Cell]:
    """Makes one cell per seed and setting.

    Args:
        config: The config of all runs.
        workdir: The folder that holds the runs' directories.
        seeds: The seeds.
        grid: Values by key.
        file: The argument that names its file.
        overrides: The keys that other arguments have set in it, with their values.

    Raises:
        UserError: A key of the grid changes nothing, or does not fit the config's file.
    """
    made = []
    for values in itertools.product(*grid.values()):
        for seed in seeds:
            labels = dict(zip(grid, values, strict=True)) | {"seed": seed}
            folder = ",".join(f"{key}={value}" for key, value in labels.items()).replace("/", "_")
            flags_of_cell = [f"--config.{key}={value}" for key, value in labels.items()]
            shared = [f"--config.{key}={value}" for key, value in overrides.items() if key not in labels]
            own = copy.deepcopy(config)  # keeps references between keys
            own.update_from_flattened_dict(labels)
            config_lib.check_overrides(own, overrides | labels)
            made.append(Cell(labels, workdir / folder, (file, *shared, *flags_of_cell), own))
    for key in grid:
        reasons = [config_lib.unread(cell.config, [key]).get(key) for cell in made]
        if all(reasons):
            raise UserError(f"--grid={key}=...: all its runs would be the same. {reasons[0]}.")
    return made
