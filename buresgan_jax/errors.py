"""The exception for errors that the user can fix, and how names that the user gives are read."""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class UserError(ValueError):
    """An error in a config, a workdir or a data set that the user can fix.

    The message says what was given, what is allowed and what to do. `main` prints it as one line and exits with status
    2. The array functions of the public API raise plain `ValueError` and `TypeError` instead.
    """


def one_line(error: BaseException) -> str:
    """Returns the message of an error without line breaks, or the error's type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def split_names(text: str | None) -> list[str]:
    """Splits a list of names with commas between them; spaces and empty names are left out."""
    return [name for name in map(str.strip, (text or "").split(",")) if name]


def did_you_mean(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """Returns the end of a message about an unknown name.

    Args:
        name: The name that was given.
        known: The known names.
        otherwise: The hint if no known name is similar.

    Returns:
        A question that names the most similar known name, or `otherwise`. It begins with a space unless it is empty.
    """
    nearest = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else otherwise
    return f" {hint}" if hint else ""


def choose(kind: str, name: str, table: Mapping[str, Any], key: str) -> Any:
    """Looks up a name in a table.

    Args:
        kind: The kind of entries in the table, for the message.
        name: The name.
        table: The choices by name.
        key: The place where the user sets the name, such as a config key.

    Raises:
        UserError: No entry has this name. The message suggests the most similar one.
    """
    if name in table:
        return table[name]
    hint = did_you_mean(name, table)
    raise UserError(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(sorted(table))}. Set {key} to one of these.")


def user_error(function: Callable) -> Callable:
    """Wraps a function so that it raises UserError instead of ValueError."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise UserError(str(error)) from error

    return wrapped
