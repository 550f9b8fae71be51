"""What the files of a run's data were when it began, kept in the workdir and compared when it is resumed."""

import json
from collections.abc import Set

from absl import logging
from etils import epath

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.errors import UserError
from buresgan_jax.runtime.files import replace_text
from buresgan_jax.training.workdir import read_json

FILE = "data.json"


def save_data(found: str | None, workdir: epath.Path) -> None:
    """Writes `data.json` with a fingerprint, unless it is there; nothing for data without files, such as drawn points.

    Args:
        found: What `builders.data_fingerprint` says of the data.
        workdir: The run's directory.
    """
    if found is not None and _read(workdir / FILE) is None:
        replace_text(workdir / FILE, json.dumps({"data": found}) + "\n")


def check_data(config, workdir: epath.Path, found: str | None, changed: Set[str]) -> None:
    """Compares the data with those with which the run of a workdir began; a warning tells that they have changed.

    Args:
        config: The resolved config.
        workdir: The run's directory.
        found: What `builders.data_fingerprint` says of the data.
        changed: The keys that differ from the run's, as `check_same_run` finds them.

    Raises:
        UserError: The config names another place, where the data are others, or nothing tells whether they are.
    """
    moved, then = sorted(changed & builders.data_places(config)), _read(workdir / FILE)
    if found == then:
        return
    if moved:
        named = ", ".join(f"config.{key}={config_lib.flatten(config)[key]}" for key in moved)
        raise UserError(
            f"{named}: these data are not known to be those of the run in {workdir}, which began with "
            f"{then or 'data without a record'}; here are {found}. Give the place of the same data, or use another "
            "--workdir."
        )
    if then is not None:
        logging.warning(
            "The data have changed since the run in %s began: %s then, %s now. Training goes on with those of now.",
            workdir,
            then,
            found,
        )


def _read(file):
    """Reads the record; None if there is none that can be read."""
    try:
        return read_json(file)["data"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
