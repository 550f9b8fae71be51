"""What every builder shares."""

import functools

from buresgan_jax.errors import UserError, did_you_mean


def user_error(function):
    """The function with its ValueErrors as UserErrors."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise UserError(str(error)) from error

    return wrapped


def choose(kind, name, table, key):
    """STUB until merge."""
    if name in table:
        return table[name]
    hint = did_you_mean(name, table)
    raise UserError(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(sorted(table))}. Set {key} to one of these.")
