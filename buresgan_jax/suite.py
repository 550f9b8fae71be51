"""`python -m buresgan_jax.suite`: methods x data sets x seeds in one command, with tables and pictures.

    python -m buresgan_jax.suite --config=suites/synthetic --workdir=runs/synthetic
    python -m buresgan_jax.suite --config=suites/synthetic --workdir=runs/synthetic \
        --config.methods=gan,bures --config.data=ring --config.seeds=0:3 --config.overrides=training.num_steps=2000

Every run has its own folder, `WORKDIR/DATA/METHOD/seed_N`, as if `buresgan_jax.main` had made it. Finished runs are
kept, so rerunning the same command resumes after a stop, and a larger suite takes over the runs of a smaller one.
Writes `results.csv` (every run), `results.md` (mean and standard deviation), `samples.png`, and `perfect.csv`: the
numbers of perfect samples, kept for the next table. Exit status 0 if all runs are done, 1 if one failed or diverged. To
split a suite across machines, give each some of the seeds, such as `--config.seeds=0:5` and `5:10`; one of them then
makes the table of all: `--config.seeds=0:10 --results=THE/OTHERS/results.csv`.
"""

import csv
import datetime
import importlib.util
import itertools
import pathlib
import re
import shlex
import sys
from collections.abc import Iterable, Sequence

import jax
from absl import app, flags
from etils import epath
from ml_collections import config_flags

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.cli import command_flags, config_files, flag_errors
from buresgan_jax.cli.command_flags import CONFIG, JOBS, TOGETHER, WORKDIR
from buresgan_jax.errors import UserError, split_names
from buresgan_jax.evaluation import pictures, tables
from buresgan_jax.launch import perfect, processes, scheduler
from buresgan_jax.launch.grid import parse_seeds
from buresgan_jax.launch.processes import Cell, Outcome
from buresgan_jax.runtime.files import replace_text
from buresgan_jax.runtime.paths import user_path
from buresgan_jax.training import saved_run
from buresgan_jax.training.sampling import make_sampler
from buresgan_jax.training.workdir import is_final

flags.adopt_module_key_flags(command_flags)  # so that --help shows them
_TRAIN = flags.DEFINE_bool("train", True, "Whether to run unfinished runs; --notrain only makes the tables.")
_UPDATE = flags.DEFINE_string("update", None, "Markdown file that gets the table between its results markers.")
_RESULTS = flags.DEFINE_list("results", [], "Files results.csv of other machines. Their runs count as done.")
_LABELS = ("data", "method")
_OVERRIDES = "overrides"  # a column: the overrides of the run
_NO_RESULTS = (tables.STATUS, "message", _OVERRIDES)
# Keys that decide which numbers there are and when, and change none of them.
_WHICH_NUMBERS = ("evaluation.metrics", "evaluation.every_steps", "evaluation.best_by")
_NUM_POINTS, _NUM_IMAGES = 2_500, 36  # in a picture


def make_cells(suite, folder: pathlib.Path, workdir: pathlib.Path) -> list[Cell]:
    """Makes the runs of a suite, those of the first seed first, so that a stopped suite is a complete smaller one.

    Args:
        suite: Names with commas between them: `data` (files of `folder`, or the package's own), `methods`, `seeds`; and
            `overrides`, such as `training.num_steps=1000 bures.weight=2`, of every run whose config has the key.
        folder: The folder of the config files.
        workdir: The suite's directory.
    """
    _check(suite)
    files = {data: _file(folder, data) for data in _names(suite, "data")}
    modules, methods = {data: _load(file) for data, file in files.items()}, _names(suite, "methods")
    overrides, made = _parse_overrides(suite.overrides), []
    unused = set(overrides)
    for seed, data, method in itertools.product(parse_seeds(suite.seeds or ""), files, methods):
        config = modules[data].get_config(method)
        known, words = config_lib.flatten(config), overrides | {"seed": str(seed)}
        words = {key: word for key, word in words.items() if key in known}
        values = {key: _parse_value(config, key, word) for key, word in words.items()}
        config.update_from_flattened_dict(values)
        config_lib.check_overrides(config, values)
        arguments = (f"--config={files[data]}:{method}", *(f"--config.{key}={word}" for key, word in words.items()))
        labels = {"data": data, "method": method, "seed": seed}
        made.append(Cell(labels, workdir / data / method / f"seed_{seed}", arguments, config))
        unused -= set(words)
    for key in unused:  # no method has it
        _parse_value(made[0].config, key, overrides[key])
    return made


def _parse_overrides(text):
    try:
        words = shlex.split(text or "")
    except ValueError as error:  # a quotation mark without its other
        raise UserError(f"--config.overrides={text}: {error}.") from None
    if wrong := [word for word in words if "=" not in word]:
        raise UserError(f"--config.overrides={text}: {wrong[0]!r} is not KEY=VALUE, such as training.num_steps=1000.")
    return dict(word.partition("=")[::2] for word in words)


def _parse_value(config, key, word):
    try:
        return config_lib.parse_value(config, key, word)
    except UserError as error:
        raise UserError(f"--config.overrides: {error}") from None


def _check(suite):
    """Raises UserError for a config that is no suite."""
    for key in ("data", "methods", "seeds", "overrides"):
        if not isinstance(suite.get(key, 0), str | None):
            known = ", ".join(name for name in config_files.names() if name.startswith("suites/"))
            raise UserError(f"--config is no suite: config.{key} is no text. The package has {known}.")


def _file(folder, data):
    """Returns the path of a data set's config: in the folder, or else in the package."""
    paths = [each / f"{data}.py" for each in (folder, config_files.FOLDER)]
    return next((path for path in paths if path.exists()), paths[0])


def _names(suite, key):
    names = split_names(suite[key])
    if not names or len(set(names)) < len(names):
        raise UserError(f"config.{key}={suite[key]!r}: give different names with commas between them.")
    return names


def _load(file):
    """Loads a config file as a module."""
    if not file.exists():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.py")))
        raise UserError(f"Unknown data {file.stem!r}: {file} does not exist. Available: {known}.")
    spec = importlib.util.spec_from_file_location(f"suite_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Results


def read_results(files: Iterable[str], all_cells: Sequence[Cell], overrides: str) -> dict[str, Outcome]:
    """Reads the outcomes of runs on other machines, by the name of the cell.

    Args:
        files: Files `results.csv` that this program has written elsewhere.
        all_cells: The runs of the suite.
        overrides: The overrides of the suite.

    Raises:
        UserError: A file is no `results.csv`, or its runs had other overrides or another number of steps. Overrides
            that only choose which numbers there are may differ: what a run lacks is `-` in the table.
    """
    wanted, found = {tuple(cell.labels.values()): cell for cell in all_cells}, {}
    for file in files:
        try:
            rows = tables.from_csv(user_path(file, "--results").read_text())
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"--results={file}: {error}.") from None
        if not rows or not {*_LABELS, "seed", tables.STATUS} <= rows[0].keys():
            raise UserError(f"--results={file}: this is not the results.csv of a suite.")
        for row in rows:
            cell = wanted.get(tuple(row.get(name) for name in (*_LABELS, "seed")))
            if cell is None or row[tables.STATUS] != "done":
                continue
            is_same = _that_change_numbers(row.get(_OVERRIDES, "")) == _that_change_numbers(overrides)
            if not is_same or row.get("step") != cell.config.training.num_steps:
                raise UserError(
                    f"--results={file}: {cell.name} had {row.get('step')} steps and the overrides "
                    f"{row.get(_OVERRIDES, '')!r}; this suite has {cell.config.training.num_steps} and {overrides!r}."
                )
            final = {name: value for name, value in row.items() if name not in (*cell.labels, *_NO_RESULTS)}
            if not is_final(final):
                raise UserError(f"--results={file}: {cell.name} has values that are no numbers.")
            found[cell.name] = Outcome("done", final)
    return found


def _that_change_numbers(overrides):
    return {key: word for key, word in _parse_overrides(str(overrides)).items() if key not in _WHICH_NUMBERS}


def write_tables(all_cells, outcomes, workdir: pathlib.Path, overrides: str) -> str:
    """Writes `results.csv` and `results.md`; returns the table."""
    rows = [{**row, _OVERRIDES: overrides} for row in processes.rows(all_cells, outcomes)]
    replace_text(epath.Path(workdir / scheduler.RESULTS), tables.to_csv(rows))
    order = list(dict.fromkeys(cell.labels["data"] for cell in all_cells))
    labels = (*_LABELS, "seed", _OVERRIDES)
    ceilings = perfect.rows(all_cells, processes.metric_names(rows, labels), workdir)
    rows = sorted(rows + ceilings, key=lambda row: order.index(row["data"]))
    columns = [*processes.metric_names(rows, labels), "seconds_per_step"]
    table = tables.to_markdown(rows, by=_LABELS, columns=columns)
    steps = {f"{cell.config.training.num_steps:,}" for cell in all_cells}
    hours = sum(outcome.final.get("seconds", 0) for outcome in outcomes) / 3600
    machines = {
        name: "; ".join(sorted({outcome.final[name] for outcome in outcomes if name in outcome.final})) or "-"
        for name in ("versions", "device")
    }
    facts = {
        "Command": f"`python -m buresgan_jax.suite {shlex.join(sys.argv[1:])}`",
        "Table made": f"{datetime.date.today()}",
        "Versions of the runs": machines["versions"],
        "Device of a run": machines["device"],
        "Steps": ", ".join(sorted(steps)),
        "Time": f"{hours:.2f} hours of runs, of which several ran at once",
    }
    lines = [f"- {name}: {text}" for name, text in facts.items()]
    note = (
        "Mean (standard deviation, divisor n) over the runs that are done. Numbers `ema_...` are those of the averaged "
        f"generator, the others those of the raw one. {perfect.METHOD}: draws from the data's own distribution."
    )
    if tables.PASSED in table:
        note += f" `{tables.PASSED}`: runs that the two-sample test does not reject at {tables.LEVEL:.0%}."
    text = "\n".join([f"# {workdir.name}", "", *lines, "", note, "", table, ""])
    replace_text(epath.Path(workdir / "results.md"), text)
    return table


def write_pictures(all_cells, outcomes, path: pathlib.Path) -> None:
    """Draws samples of the raw generator, of the first finished seed of every method.

    There is a row per data set, broken into lines, and a panel per method; runs on other machines have no samples here.
    """
    first = {}
    for cell, outcome in zip(all_cells, outcomes, strict=True):
        if outcome.status == "done" and processes.finished(cell):
            first.setdefault(tuple(cell.labels[name] for name in _LABELS), cell)
    rows, columns = (list(dict.fromkeys(key[i] for key in first)) for i in range(2))
    panels = [[_panel(first[row, column]) if (row, column) in first else None for column in columns] for row in rows]
    if panels:
        pictures.gallery(path, panels, rows=rows, columns=columns)


def _panel(cell):
    config, algorithm, state = saved_run.load(cell.workdir)
    description = builders.describe(config)
    number = _NUM_IMAGES if description.kind == "images" else _NUM_POINTS
    samples = make_sampler(algorithm)(state, jax.random.key(0), number, ema=False)
    if description.kind == "images":
        modes = processes.finished(cell).final.get("modes")
        return pictures.Panel(image=pictures.image_grid(samples), caption="" if modes is None else f"{modes} modes")
    truth = description.mixture
    modes = {} if truth is None else {"means": pictures.in_plane(truth.means), "std": truth.std}
    return pictures.Panel(points=pictures.in_plane(samples), **modes)


def update_file(file: epath.Path, text: str) -> None:
    """Replaces the text between the markers `<!-- results -->` and `<!-- /results -->` of a file."""
    old = file.read_text()
    new, count = re.subn(r"(<!-- results -->\n).*?(<!-- /results -->)", rf"\g<1>\n{text}\n\n\g<2>", old, flags=re.S)
    if not count:
        raise UserError(f"--update={file}: it has no <!-- results --> and <!-- /results --> lines.")
    replace_text(file, new)


# Command line


def _run():
    if CONFIG.value is None or WORKDIR.value is None:
        raise UserError("Give a suite and a folder: --config=suites/synthetic --workdir=runs/synthetic.")
    workdir = scheduler.local_folder(WORKDIR.value)
    update = None if _UPDATE.value is None else user_path(_UPDATE.value, "--update")
    if update is not None and not update.is_file():
        raise UserError(f"--update={_UPDATE.value} does not exist.")
    folder = pathlib.Path(config_flags.get_config_filename(flags.FLAGS["config"])).resolve().parents[1]
    all_cells = make_cells(CONFIG.value, folder, workdir)
    for cell in all_cells:  # reports a misspelled name before hours of work
        builders.algorithm(cell.config)
    elsewhere = read_results(_RESULTS.value, all_cells, CONFIG.value.overrides)
    own = [cell for cell in all_cells if cell.name not in elsewhere or processes.finished(cell)]
    workdir.mkdir(parents=True, exist_ok=True)
    if _TRAIN.value:
        outcomes = scheduler.run(own, workdir, how=TOGETHER.value, jobs=JOBS.value)
    else:
        outcomes = [processes.finished(cell) or Outcome("missing", {}) for cell in own]
    found = elsewhere | {cell.name: outcome for cell, outcome in zip(own, outcomes, strict=True)}
    outcomes = [found[cell.name] for cell in all_cells]
    table = write_tables(all_cells, outcomes, workdir, CONFIG.value.overrides)
    print(table)
    write_pictures(all_cells, outcomes, workdir / "samples.png")
    if update is not None:
        update_file(update, table)
    return 0 if all(outcome.status == "done" for outcome in outcomes) else 1


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit status."""
    return scheduler.call(_run, argv)


if __name__ == "__main__":
    app.run(main, flags_parser=flag_errors.parse_or_exit)
