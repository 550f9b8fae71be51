"""The door to the forms of an operation: a name, or the platform, says which one runs."""

from collections.abc import Callable, Mapping

import jax
from jax import lax

from buresgan_jax.errors import did_you_mean


def run(implementation: str, forms: Mapping[str, Callable[..., jax.Array]], *arguments: jax.Array) -> jax.Array:
    """Computes an operation by one of its forms.

    Args:
        implementation: Name of the form, or "auto": "cpu" on a CPU, and "plain" on every other platform.
        forms: Functions of the arguments by name. "cpu" and "plain" are two of the names.
        arguments: Arrays.

    Returns:
        The form's array.

    Raises:
        ValueError: No form has this name.
    """
    if implementation == "auto":
        if forms["cpu"] is forms["plain"]:
            return forms["plain"](*arguments)
        return lax.platform_dependent(*arguments, cpu=forms["cpu"], default=forms["plain"])
    if implementation not in forms:
        names = ", ".join(map(repr, ("auto", *forms)))
        hint = did_you_mean(implementation, ("auto", *forms))
        raise ValueError(f"implementation must be one of {names}; got {implementation!r}.{hint}")
    return forms[implementation](*arguments)
