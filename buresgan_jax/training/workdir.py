"""What a run writes besides checkpoints: its config, metrics, TensorBoard events, progress. Process 0 only."""

import contextlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax
from etils import epath
from ml_collections import config_dict

from buresgan_jax import config as config_lib
from buresgan_jax.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FINAL, EVALUATION = "final.json", "evaluation.json"
# In it, beside the last evaluation.
RUN_FACTS = ("step", "seconds", "first_step_seconds", "seconds_per_step", "device", "versions")


def open_workdir(config, workdir: epath.PathLike, *, write: bool) -> epath.Path:
    """Creates the workdir, or checks that it belongs to this config.

    A workdir without checkpoints belongs to nobody: whatever it holds would be written again.

    Args:
        config: the resolved config.
        workdir: of the run.
        write: whether this process writes (process 0 does).

    Raises:
        UserError: the workdir cannot be written, or belongs to a run whose config differs in a key that would change
            the training so far.
    """
    workdir = epath.Path(workdir)
    with _os_errors(workdir):
        if write:
            workdir.mkdir(parents=True, exist_ok=True)
        checkpoints = workdir / "checkpoints"
        if (workdir / "config.json").exists() and checkpoints.exists() and any(checkpoints.iterdir()):
            check_same_run(config, workdir)
    return workdir


def lock_workdir(workdir: epath.Path) -> contextlib.AbstractContextManager | None:
    """Keeps other processes from training in a workdir, until what it returns is closed or the process ends.

    Two of them would remove each other's checkpoints. Remote folders, and file systems that know no locks, have none.

    Args:
        workdir: of the run.

    Raises:
        UserError: another process trains there.
    """
    if fcntl is None or "://" in str(workdir):
        return None
    with _os_errors(workdir):
        file = open(workdir / ".lock", "a+")  # noqa: SIM115  # it is returned
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with file:
            raise UserError(
                f"{workdir} is in use by process {file.read() or '(unknown)'}, which trains there. Wait until it ends, "
                "or use another --workdir."
            ) from None
    except OSError:
        file.close()
        return None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def save_config(config, workdir: epath.Path) -> None:
    """Writes `config.json`."""
    with _os_errors(workdir):
        replace_text(workdir / "config.json", config.to_json(indent=2, sort_keys=True) + "\n")


def forget_results(workdir: epath.Path, *others: str) -> None:
    """Removes what an earlier run in the same workdir said at its end, and other files."""
    with _os_errors(workdir):
        for name in (FINAL, EVALUATION, *others):
            (workdir / name).unlink(missing_ok=True)


def machine() -> dict[str, str]:
    """On what a run goes on, and with what."""
    packages = ("jax", "flax", "optax", "numpy")
    versions = ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in packages)]
    )
    return {"device": f"{jax.device_count()} x {jax.devices()[0].device_kind}", "versions": versions}


def save_final(values: Mapping[str, Any], workdir: epath.Path) -> None:
    """Writes `final.json`, what a finished run says of itself."""
    replace_text(workdir / FINAL, json.dumps(values, indent=2) + "\n")


def add_evaluation(facts: Mapping[str, Any], entries: Mapping[str, Any], workdir: epath.Path) -> None:
    """Adds metrics, with how they were made, to `evaluation.json`.

    Args:
        facts: of the samples, such as the step of their generator; the file has one place for equal facts.
        entries: the metrics by name; those that were there under the same facts and names are replaced.
        workdir: of the run.

    Raises:
        UserError: the file is damaged, or cannot be written.
    """
    documents = read_evaluations(workdir)
    same = next((each for each in documents if facts.items() <= each.items()), {})
    documents = [each for each in documents if each is not same]
    documents.append({**facts, "metrics": same.get("metrics", {}) | entries})
    with _os_errors(workdir):
        replace_text(workdir / EVALUATION, json.dumps(documents, indent=2) + "\n")


def read_evaluations(workdir: epath.Path) -> list[dict[str, Any]]:
    """The documents of `evaluation.json`; none where there is no such file.

    Raises:
        UserError: it is damaged.
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
    """Reads `final.json`; empty where there is none, or only a part of one."""
    try:
        return json.loads((workdir / FINAL).read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def read_config(workdir: epath.Path) -> config_dict.ConfigDict:
    """Reads `config.json`; keys that the version which wrote it did not have yet get their defaults.

    Raises:
        UserError: it is not a config.
    """
    file = workdir / "config.json"
    try:
        saved = json.loads(file.read_text())
        config = config_lib.default(saved["method"])
        config.update(saved)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # not JSON, or JSON of something else
        problem = " ".join(str(error).split())
        raise UserError(f"{file} is damaged ({problem}). Restore it, or choose another --workdir.") from error
    return config


@contextlib.contextmanager
def _os_errors(workdir):
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write to workdir {workdir}: {error}. Choose another --workdir.") from error


def check_same_run(config, workdir: epath.Path) -> set[str]:
    """Checks that a workdir's `config.json` differs from a config in free keys only, and returns these.

    Raises:
        UserError: it differs in others.
    """
    old, new = (config_lib.flatten(json.loads(each.to_json())) for each in (read_config(workdir), config))
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if fixed := sorted(changed - set(config_lib.FREE_KEYS)):
        differences = ", ".join(f"{key} (there {old.get(key)!r}, now {new.get(key)!r})" for key in fixed)
        raise UserError(
            f"Workdir {workdir} belongs to a run with another config: {differences}. Use another --workdir, or the "
            "same settings to go on."
        )
    return changed


def replace_text(file: epath.Path, text: str) -> None:
    """Writes beside the file, then renames: a kill leaves the old or the new text, never a part."""
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(file)
