"""The exception that means: the user can mend this, a traceback would not help. And the hint for a misspelt name."""

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class UserError(ValueError):
    """A mistake in a config, a workdir or a data set; the message says what was got, what is allowed and what to do.

    `main` prints the message as one line and exits with status 2. The array functions of the public API raise plain
    `ValueError` and `TypeError` instead.
    """


def did_you_mean(name: object, known: Iterable[str], otherwise: str = "") -> str:
    """The end of a message about a name that is not known.

    Args:
        name: what was given.
        known: the names that are.
        otherwise: what to say where none of them is near.

    Returns:
        `otherwise`, or a question that names the nearest one; with a space before it where it is not empty.
    """
    nearest = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else otherwise
    return f" {hint}" if hint else ""


def choose(kind: str, name: str, table: Mapping[str, Any], key: str) -> Any:
    """Looks a name up in a table.

    Args:
        kind: What the table holds, for the message.
        name: The name.
        table: The choices by name.
        key: Where the user sets the name, such as a key of the config.

    Raises:
        UserError: No entry has this name; the message suggests the nearest one.
    """
    if name in table:
        return table[name]
    hint = did_you_mean(name, table)
    raise UserError(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(sorted(table))}. Set {key} to one of these.")


def user_error(function: Callable) -> Callable:
    """Makes a function raise its ValueErrors as UserErrors."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise UserError(str(error)) from error

    return wrapped
