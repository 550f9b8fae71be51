"""The exception that means: the user can mend this, a traceback would not help. And the hint for a misspelt name."""

import difflib
from collections.abc import Iterable


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
