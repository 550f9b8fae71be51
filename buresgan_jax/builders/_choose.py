"""Tables: from a name in a config to what it stands for, and the one line for a name that no table has."""

import functools
from collections.abc import Mapping
from typing import Any

from buresgan_jax.errors import UserError, did_you_mean


def choose(kind: str, name: str, table: Mapping[str, Any], key: str) -> Any:
    """The entry of a table, or a UserError that names the nearest one and the config key to set."""
    if name in table:
        return table[name]
    hint = did_you_mean(name, table)
    raise UserError(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(sorted(table))}. Set {key} to one of these.")


def user_error(function):
    """The function with its ValueErrors as UserErrors."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise UserError(str(error)) from error

    return wrapped
