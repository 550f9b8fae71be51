"""The memory that this process may use, also in a container, and the message about what does not fit."""

import os
import pathlib

import jax

from buresgan_jax.errors import UserError

# A container's limit, by version 2 of Linux's control groups: bytes, or "max".
_LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")


def host_bytes() -> int:
    """Returns the machine's memory, or the container's limit where it is smaller."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_LIMIT.read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return machine


def exhausted(error: Exception) -> str:
    """What an error of NumPy or JAX says of memory that could not be allocated; empty for other errors."""
    text = next(iter(str(error).splitlines()), "")
    is_device = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in text
    if not is_device and not isinstance(error, MemoryError):
        return ""
    return (
        f"Out of memory ({text.rstrip('.')}). Set smaller networks or a smaller config.training.batch_size, or end "
        "other processes."
    )


def require(setting: str, what: str, needed: int, there: int) -> None:
    """Raises UserError if something needs more bytes than there are.

    Args:
        setting: The setting that makes it so large, such as `config.latent.dim=1000000`.
        what: What needs them, in the plural.
        needed: So many bytes.
        there: The bytes that there are.
    """
    if needed > there:
        raise UserError(
            f"{setting} is too large: {what} need {needed / 2**30:,.1f} GiB, and there are {there / 2**30:,.1f} GiB of "
            "memory. Set a smaller number."
        )
