"""The best state of a run by one of its numbers, kept beside the newest states."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from buresgan_jax.errors import UserError
from buresgan_jax.runtime.files import replace_text
from buresgan_jax.training.checkpoint import Checkpointer
from buresgan_jax.training.workdir import read_json

FOLDER = "best_checkpoint"
RECORD = "best.json"


class BestCheckpoint:
    """Keeps the best state so far in `best_checkpoint`, and its step and number in `best.json`.

    A kill at any moment leaves a record and the checkpoint that it names: the new checkpoint is complete before the
    record changes, and the old one is removed last. Steps that a restarted run computes again are offered again.
    """

    def __init__(
        self, workdir: epath.Path, by: str, *, larger_is_better: bool = True, made_by: Mapping[str, Any] | None = None
    ):
        """Reads the record.

        Args:
            workdir: The run's directory; that of a new run has no record (`RECORD`).
            by: Name of the number.
            larger_is_better: Whether larger is better. Only process 0 uses this and `made_by`.
            made_by: Values by name of the options that change the number; a record with other values does not count.
        """
        self._file, self._sign, self._value = workdir / RECORD, 1 if larger_is_better else -1, None
        self._facts = {"by": by, **(made_by or {})}
        self._checkpointer = Checkpointer(workdir, folder=FOLDER)
        record = _read(self._file)
        # A record of an earlier version names less.
        is_alike = record.get("by") == by and self._facts | record == record | self._facts
        value = record.get("value")
        if is_alike and record.get("step") in self._checkpointer.steps() and isinstance(value, int | float):
            self._value = value

    def offer(self, step: int, values: Mapping[str, float], state: Any) -> None:
        """Keeps the state if it is better than all before; every process calls this, and process 0 decides.

        Args:
            step: The step of the state.
            values: The numbers of an evaluation; empty on all processes but the first.
            state: The state as NumPy arrays.
        """
        value = values.get(self._facts["by"], math.nan)
        is_better = math.isfinite(value) and (self._value is None or self._sign * (value - self._value) > 0)
        if not multihost_utils.broadcast_one_to_all(np.asarray(is_better)):
            return
        self._checkpointer.overwrite(step, {"state": state})
        if is_better:  # here, on process 0
            self._value = value
            replace_text(self._file, json.dumps({"step": step, "value": value, **self._facts}) + "\n")
        self._checkpointer.keep_only(step)

    def close(self) -> None:
        """Waits until everything is written."""
        self._checkpointer.close()


def best_step(workdir: epath.Path) -> int:
    """Returns the step that the record of a workdir names.

    Raises:
        UserError: There is no record.
    """
    record = _read(workdir / RECORD)
    if not isinstance(record.get("step"), int):
        raise UserError(
            f"{workdir} has no best checkpoint: {RECORD} is missing or damaged. Train with "
            "config.evaluation.metrics and config.evaluation.best_by, or choose another --checkpoint."
        )
    return record["step"]


def _read(file):
    """Reads the record; empty if there is none that can be read."""
    try:
        record = read_json(file)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
