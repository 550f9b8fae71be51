"""Perfect samples of each data set of a suite, evaluated as its runs are: the best values that numbers can have."""

import csv
import functools
import hashlib
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from etils import epath

from buresgan_jax import builders
from buresgan_jax.evaluation import tables
from buresgan_jax.evaluation.evaluators import AVERAGED
from buresgan_jax.launch.processes import Cell
from buresgan_jax.runtime import progress_bar
from buresgan_jax.runtime.files import replace_text

FILE, METHOD = "perfect.csv", "(perfect samples)"
_NUM_DRAWS, _FIRST_SEED = 10, 1_000_000
_KEY = ("data", "seed", "protocol")  # columns; the last is a hash of everything else that the numbers follow from


def rows(all_cells: Sequence[Cell], wanted: Collection[str], workdir: pathlib.Path) -> list[dict[str, Any]]:
    """Evaluates ten draws of perfect samples of each data set whose distribution is known.

    Each draw has fresh points of its own to compare with, as runs of different seeds have. Some metrics take seconds,
    so the numbers are kept in `perfect.csv`; those of the user's own parts, whose code may have changed, are not.

    Args:
        all_cells: The runs of the suite.
        wanted: Names of the runs' numbers. Evaluators that have none of them are left out.
        workdir: The suite's directory.

    Returns:
        A row for `tables` per draw.
    """
    cells = {cell.labels["data"]: cell for cell in all_cells}
    jobs = [(data, seed) for data in cells for seed in range(_NUM_DRAWS)]
    wanted = {name.removeprefix(AVERAGED) for name in wanted}
    kept, found = _read(workdir / FILE), []
    for data, seed in progress_bar.track(jobs, description="perfect samples"):
        config = cells[data].config.copy_and_resolve_references()
        config.seed = seed
        samples = builders.perfect_samples(config, config.evaluation.num_samples, seed=_FIRST_SEED + seed)
        if samples is None:
            continue
        made = builders.evaluators(config, workdir=cells[data].workdir)
        made = [each for each in made if wanted & set(each.names) and not each.uses_discriminator]
        names, key = [name for each in made for name in each.names], (data, seed, _protocol(config))
        values = kept.get(key, {})
        if not values.keys() >= set(names):
            values = {name: entry["value"] for each in made for name, entry in each(samples).items()}
            if key[-1] is not None:
                kept[key] = kept.get(key, {}) | values
                _write(workdir / FILE, kept)
        if names:
            values = {name: values[name] for name in names}
            found.append({"data": data, "method": METHOD, "seed": seed, tables.STATUS: "done", **values})
    return found


def _protocol(config):
    """Text that differs where numbers may; None where a part of the user's own makes them."""
    if ":" in config.data.name or ":" in config.evaluation.metrics:
        return None
    facts = (_code(), config.data.to_json(sort_keys=True), config.evaluation.to_json(sort_keys=True))
    return f"sha256_{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


@functools.cache
def _code():
    """Digest of the code that makes samples and numbers."""
    package, digest = pathlib.Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(file for part in ("data", "evaluation", "metrics") for file in (package / part).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(file):
    """Values by data set, draw and protocol; nothing where the file is missing or damaged."""
    try:
        found = {tuple(row.pop(name) for name in _KEY): row for row in tables.from_csv(file.read_text())}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError):
        return {}
    return {
        key: values for key, values in found.items() if not any(isinstance(value, str) for value in values.values())
    }


def _write(file, kept):
    rows_of_file = [dict(zip(_KEY, key, strict=True)) | values for key, values in kept.items()]
    replace_text(epath.Path(file), tables.to_csv(rows_of_file))
