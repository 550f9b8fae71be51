"""A run's directory: its lock, `config.json`, `final.json` and `evaluation.json`."""

import contextlib
import json
import os
import platform
import stat
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
from absl import logging
from etils import epath
from ml_collections import config_dict

from buresgan_jax import config as config_lib
from buresgan_jax.errors import UserError, one_line
from buresgan_jax.runtime import files
from buresgan_jax.runtime.files import replace_text
from buresgan_jax.runtime.paths import user_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CONFIG, FINAL, EVALUATION, METRICS = "config.json", "final.json", "evaluation.json", "metrics.jsonl"
CHECKPOINTS = "checkpoints"
_FILES = (
    CONFIG,
    FINAL,
    EVALUATION,
    METRICS,
    "best.json",
    "data.json",
    "prepared.npz",
    "digit_classifier.npz",
    "set_classifier.npz",
    "log.txt",
    ".lock",
)
_FOLDERS = (CHECKPOINTS, "best_checkpoint", "bad_checkpoints", "samples", "tensorboard", "profile")
_RESULTS = (FINAL, EVALUATION, METRICS, CHECKPOINTS)  # what a new run in the same workdir removes or replaces
# The keys of final.json beside the numbers of the last evaluation.
RUN_FACTS = ("step", "seconds", "first_step_seconds", "seconds_per_step", "device", "versions")


def open_workdir(config, workdir: epath.PathLike, *, write: bool) -> epath.Path:
    """Creates the workdir, or checks that it is one of a run, and that it belongs to this config.

    A workdir without checkpoints may have any run's config: everything in it would be written again.

    Args:
        config: The resolved config.
        workdir: The run's directory.
        write: Whether this process writes (process 0 does).

    Raises:
        UserError: The workdir cannot be written, holds links or results of something else than a run, or belongs to a
            run whose config differs in a key that would change the training so far.
    """
    workdir = user_path(workdir, "workdir")
    with _os_errors(workdir):
        if write:
            workdir.mkdir(parents=True, exist_ok=True)
        check_entries(workdir)
        results = [name for name in _RESULTS if _has_content(workdir / name)]
        if (workdir / CONFIG).exists():
            read_config(workdir)
        elif results:
            raise UserError(
                f"{workdir} holds {', '.join(results)}, but no {CONFIG}: it is not the workdir of a run. Choose "
                "another --workdir."
            )
        if CHECKPOINTS in results:
            check_same_run(config, workdir)
    return workdir


def check_entries(workdir: epath.PathLike) -> None:
    """Checks that a run would find its own files and folders, and write through no link.

    Args:
        workdir: The run's directory, which may not exist yet.

    Raises:
        UserError: A name that a run uses is a link, or another kind of entry.
    """
    if "://" in str(workdir):
        return
    for name in (*_FILES, *_FOLDERS):
        with contextlib.suppress(FileNotFoundError):
            mode = os.lstat(workdir / name).st_mode
            if stat.S_ISLNK(mode):
                raise UserError(
                    f"{workdir / name} is a link, and a run writes through no link. Remove it, or choose another "
                    "--workdir; the workdir itself may be a link."
                )
            if not (stat.S_ISDIR if name in _FOLDERS else stat.S_ISREG)(mode):
                kind = "folder" if name in _FOLDERS else "file"
                raise UserError(f"{workdir / name} is no {kind}. Move it away, or choose another --workdir.")


def _has_content(path):
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def lock_workdir(workdir: epath.Path) -> contextlib.ExitStack:
    """Keeps other processes from training in a workdir: two of them would remove each other's checkpoints.

    Args:
        workdir: The run's directory.

    Returns:
        The lock, which lasts until it is closed or the process ends. On remote folders, and on file systems that know
        no locks, it locks nothing.

    Raises:
        UserError: Another process trains there.
    """
    lock = contextlib.ExitStack()
    if fcntl is None or "://" in str(workdir):
        return lock
    with _os_errors(workdir):
        file = lock.enter_context(open(workdir / ".lock", "a+"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with lock:
            raise UserError(
                f"{workdir} is in use by process {file.read() or '(unknown)'}, which trains there. Wait until it ends, "
                "or use another --workdir."
            ) from None
    except OSError:
        lock.close()
        return lock
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return lock


def save_config(config, workdir: epath.Path) -> None:
    """Writes `config.json`."""
    with _os_errors(workdir):
        replace_text(workdir / CONFIG, config.to_json(indent=2, sort_keys=True) + "\n")


def forget_results(workdir: epath.Path, *others: str) -> None:
    """Removes the results of an earlier run in the same workdir.

    Args:
        workdir: The run's directory.
        *others: Names of further files to remove.
    """
    with _os_errors(workdir):
        for name in (FINAL, EVALUATION, *others):
            (workdir / name).unlink(missing_ok=True)


def machine() -> dict[str, str]:
    """Returns the device and the package versions of the run."""
    packages = ("jax", "flax", "optax", "numpy")
    versions = ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in packages)]
    )
    return {"device": f"{jax.device_count()} x {jax.devices()[0].device_kind}", "versions": versions}


def save_final(values: Mapping[str, Any], workdir: epath.Path) -> None:
    """Writes `final.json`, the results of a finished run."""
    replace_text(workdir / FINAL, json.dumps(values, indent=2) + "\n")


def add_evaluation(facts: Mapping[str, Any], entries: Mapping[str, Any], workdir: epath.Path) -> None:
    """Adds the numbers of an evaluation, each with how it was made, to `evaluation.json`.

    Args:
        facts: Facts that all the numbers share, such as the step of the generator; numbers of equal facts lie in one
            document of the file.
        entries: Entries of evaluators by name; they replace those of the same facts and names.
        workdir: The run's directory.

    Raises:
        OSError: The file cannot be written.
        UserError: It is damaged.
    """
    documents, facts = read_evaluations(workdir), json.loads(json.dumps(facts))
    same = next((each for each in documents if facts.items() <= each.items()), {})
    documents = [each for each in documents if each is not same]
    documents.append({**facts, "metrics": same.get("metrics", {}) | entries})
    replace_text(workdir / EVALUATION, json.dumps(documents, indent=2) + "\n")


def read_json(file: epath.Path) -> Any:
    """Reads a JSON file of a workdir; None if there is none.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or no file but, say, a pipe.
    """
    if not file.exists():
        return None
    if not files.is_regular(file):
        raise ValueError("it is no file")
    try:
        return json.loads(file.read_text())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_evaluations(workdir: epath.Path) -> list[dict[str, Any]]:
    """Reads the documents of `evaluation.json`; none if there is no such file.

    Raises:
        UserError: The file is damaged.
    """
    file = workdir / EVALUATION
    try:
        documents = read_json(file)
    except ValueError:
        documents = {}
    if documents is None:
        return []
    is_list = isinstance(documents, list) and all(isinstance(each, dict) for each in documents)
    if not is_list or not all(isinstance(each.get("metrics", {}), dict) for each in documents):
        raise UserError(f"{file} is damaged. Move it away, and evaluate again.")
    return documents


def read_final(workdir: epath.Path) -> dict[str, Any]:
    """Reads `final.json`; empty if there is none, or a damaged one, which the end of the run replaces."""
    file = workdir / FINAL
    try:
        final = read_json(file)
    except (OSError, ValueError):
        final = []
    if final is None or is_final(final):
        return final or {}
    logging.warning("%s is damaged. It is written again when the run is resumed.", file)
    return {}


def is_final(values: Any) -> bool:
    """Tells whether values are results of a run, as `final.json` has them."""
    if not isinstance(values, dict) or not isinstance(values.get("step"), int):
        return False
    numbers = [value for name, value in values.items() if name not in ("device", "versions")]
    return all(isinstance(value, int | float) for value in numbers)


def read_config(workdir: epath.Path) -> config_dict.ConfigDict:
    """Reads `config.json`; keys that an earlier version did not write get their defaults.

    Raises:
        UserError: The file is not a config.
    """
    file = workdir / CONFIG
    try:
        return _parse_config(read_json(file))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:  # JSON of anything
        problem = one_line(error)
        raise UserError(
            f"{file} is damaged or not of a run ({problem}). Restore it, or choose another --workdir."
        ) from error


def _parse_config(saved):
    method = saved["method"]
    if "penalty" in saved:
        raise UserError("It is of an older version, whose runs cannot be resumed. Choose another --workdir.")
    config = config_lib.default(method)
    for kind in config_lib.SLOTS:
        config[kind].name = saved[kind]["name"]
    config.evaluation.metrics = saved["evaluation"]["metrics"]
    config_lib.complete(config)
    with config.unlocked():
        config.update(saved)
    unknown = sorted(config_lib.flatten(config).keys() - config_lib.declared(config).keys())
    if unknown:
        raise UserError(f"It has unknown keys: {', '.join(unknown)}. Choose another --workdir.")
    config_lib.check(config)
    return config


@contextlib.contextmanager
def _os_errors(workdir):
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write to workdir {workdir}: {error}. Choose another --workdir.") from error


def check_same_run(config, workdir: epath.Path) -> set[str]:
    """Checks that a workdir's `config.json` differs from a config in free keys only.

    Args:
        config: The resolved config.
        workdir: The run's directory.

    Returns:
        The keys in which they differ.

    Raises:
        UserError: They differ in other keys.
    """
    old, new = (config_lib.flatten(json.loads(each.to_json())) for each in (read_config(workdir), config))
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if fixed := sorted(changed - config_lib.free_keys(config)):
        differences = ", ".join(f"{key} (there {old.get(key)!r}, now {new.get(key)!r})" for key in fixed)
        raise UserError(
            f"Workdir {workdir} belongs to a run with another config: {differences}. Use another --workdir, or the "
            "same settings to resume."
        )
    return changed
