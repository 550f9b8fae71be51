"""What several processes of one run must do together: fail, and begin from the same facts."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from buresgan_jax.errors import UserError

_NUM_NAMED = 5  # differences in a message


@contextlib.contextmanager
def raised_together():
    """Raises a UserError or OSError of one process in all of them, which would wait for it forever otherwise."""
    error = None
    try:
        yield
    except (UserError, OSError) as found:
        error = found
    if jax.process_count() > 1 and not multihost_utils.process_allgather(np.asarray(error is None)).all():
        error = error or UserError("Another process cannot start. See the message of that process.")
    if error is not None:
        raise error


def agree(facts: Mapping[str, Any]) -> None:
    """Checks that all processes have the same facts. Otherwise each would train something else, without a word.

    Args:
        facts: Values of JSON by name.

    Raises:
        UserError: They differ. It is raised in all processes, and names the first differences.
    """
    if jax.process_count() > 1:
        check_equal([json.loads(text) for text in _gather(json.dumps(facts, sort_keys=True))])


def check_equal(found: list[dict[str, Any]]) -> None:
    """Raises UserError if the facts of some process differ from those of process 0.

    Args:
        found: The facts of each process.
    """
    first = found[0]
    for number, other in enumerate(found):
        keys = sorted(key for key in first.keys() | other.keys() if first.get(key) != other.get(key))
        if keys:
            named = ", ".join(f"{key} ({first.get(key)!r} and {other.get(key)!r})" for key in keys[:_NUM_NAMED])
            more = f" and {len(keys) - _NUM_NAMED} more" if len(keys) > _NUM_NAMED else ""
            raise UserError(
                f"Processes 0 and {number} do not train the same run; they differ in {named}{more}. Start all of them "
                "with the same command, version, data and workdir."
            )


def _gather(text):
    """Returns the texts of all processes, in their order."""
    encoded = np.frombuffer(text.encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.asarray(encoded.size))
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: encoded.size] = encoded
    rows = multihost_utils.process_allgather(padded)
    return [bytes(row[:length]).decode() for row, length in zip(rows, lengths, strict=True)]
