"""A run's directory: its lock, `config.json`, `final.json` and `evaluation.json`."""

import contextlib
import json
import os
import platform
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

import jax
from etils import epath
from ml_collections import config_dict

from buresgan_jax import config as config_lib
from buresgan_jax.errors import UserError
from buresgan_jax.runtime import files
from buresgan_jax.runtime.paths import user_path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FINAL, EVALUATION = "final.json", "evaluation.json"
# The keys of final.json beside the numbers of the last evaluation.
RUN_FACTS = ("step", "seconds", "first_step_seconds", "seconds_per_step", "device", "versions")


def open_workdir(config, workdir: epath.PathLike, *, write: bool) -> epath.Path:
    """Creates the workdir, or checks that it belongs to this config.

    A workdir without checkpoints belongs to no run: everything in it would be written again.

    Args:
        config: The resolved config.
        workdir: The run's directory.
        write: Whether this process writes (process 0 does).

    Raises:
        UserError: The workdir cannot be written, or belongs to a run whose config differs in a key that would change
            the training so far.
    """
    workdir = user_path(workdir, "workdir")
    with _os_errors(workdir):
        if write:
            workdir.mkdir(parents=True, exist_ok=True)
        checkpoints = workdir / "checkpoints"
        if (workdir / "config.json").exists() and checkpoints.exists() and any(checkpoints.iterdir()):
            check_same_run(config, workdir)
    return workdir


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
        replace_text(workdir / "config.json", config.to_json(indent=2, sort_keys=True) + "\n")


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
        UserError: The file is damaged, or cannot be written.
    """
    documents, facts = read_evaluations(workdir), json.loads(json.dumps(facts))
    same = next((each for each in documents if facts.items() <= each.items()), {})
    documents = [each for each in documents if each is not same]
    documents.append({**facts, "metrics": same.get("metrics", {}) | entries})
    with _os_errors(workdir):
        replace_text(workdir / EVALUATION, json.dumps(documents, indent=2) + "\n")


def read_evaluations(workdir: epath.Path) -> list[dict[str, Any]]:
    """Reads the documents of `evaluation.json`; none if there is no such file.

    Raises:
        UserError: The file is damaged.
    """
    file = workdir / EVALUATION
    try:
        documents = json.loads(file.read_text()) if file.exists() else []
    except ValueError:
        documents = None
    if not isinstance(documents, list) or not all(isinstance(each, dict) for each in documents):
        raise UserError(f"{file} is damaged. Move it away, and evaluate again.")
    return documents


def read_final(workdir: epath.Path) -> dict[str, Any]:
    """Reads `final.json`; empty if there is none, or only a part of one."""
    try:
        return json.loads((workdir / FINAL).read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def read_config(workdir: epath.Path) -> config_dict.ConfigDict:
    """Reads `config.json`; keys that an earlier version did not write get their defaults.

    Raises:
        UserError: The file is not a config.
    """
    file = workdir / "config.json"
    try:
        saved = json.loads(file.read_text())
        method, is_old = saved["method"], "penalty" in saved
        if not is_old:
            config = config_lib.default(method)
            for kind in config_lib.SLOTS:
                config[kind].name = saved[kind]["name"]
            config.evaluation.metrics = saved["evaluation"]["metrics"]
            config_lib.complete(config)
            with config.unlocked():
                config.update(saved)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # not JSON, or JSON of something else
        problem = " ".join(str(error).split())
        raise UserError(f"{file} is damaged ({problem}). Restore it, or choose another --workdir.") from error
    if is_old:
        raise UserError(f"{file} is of an older version, whose runs cannot be resumed. Choose another --workdir.")
    unknown = sorted(config_lib.flatten(config).keys() - config_lib.declared(config).keys())
    if unknown:
        raise UserError(f"{file} has unknown keys: {', '.join(unknown)}. Choose another --workdir.")
    return config


@contextlib.contextmanager
def _os_errors(workdir):
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write to workdir {workdir}: {error}. Choose another --workdir.") from error


def check_same_run(config, workdir: epath.Path, free: Collection[str] | None = None) -> set[str]:
    """Checks that a workdir's `config.json` differs from a config in free keys only.

    Args:
        config: The resolved config.
        workdir: The run's directory.
        free: The keys in which they may differ. Default: the free keys.

    Returns:
        The keys in which they differ.

    Raises:
        UserError: They differ in other keys.
    """
    old, new = (config_lib.flatten(json.loads(each.to_json())) for each in (read_config(workdir), config))
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if fixed := sorted(changed - set(config_lib.free_keys(config) if free is None else free)):
        differences = ", ".join(f"{key} (there {old.get(key)!r}, now {new.get(key)!r})" for key in fixed)
        raise UserError(
            f"Workdir {workdir} belongs to a run with another config: {differences}. Use another --workdir, or the "
            "same settings to resume."
        )
    return changed


def replace_text(file: epath.Path, text: str) -> None:
    """Writes a file by renaming a temporary one: a kill leaves the old or the new text, never a part."""
    with files.replacing(file) as opened:
        opened.write(text.encode())
