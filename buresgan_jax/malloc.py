"""What becomes of the memory that a program on a CPU has freed."""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform

import jax

# Of glibc's malloc.h: parameters of `mallopt`, with the values that they get.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_SETTINGS = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}


def keep_freed_memory() -> None:
    """Lets this process keep freed memory for its next allocations, instead of giving it back to the system.

    XLA's CPU backend allocates the buffers of every call anew, and glibc asks the system for large ones each time: a
    training step then begins on pages that the kernel has yet to fill with zeros, 40,000 of them for a CIFAR DCGAN at
    batch 64, which takes a tenth of its CPU time. With this there are none after the first steps. The process keeps the
    most memory that it ever needed, and fragments may add to that (measured: from 1.06 to 1.15 GB).

    Does nothing without glibc (macOS, musl), where JAX may use an accelerator, or where the user's environment sets
    glibc's allocator (`MALLOC_...`, `GLIBC_TUNABLES`). Programs call it before their first JAX call (`main` does, and
    the benchmark of steps); on threads that already allocate it has less effect. The library leaves the process alone.
    """
    is_glibc = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
    if is_glibc and not _is_set_by_user() and _is_cpu_only():
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _SETTINGS.items():
            mallopt(parameter, value)


def _is_set_by_user() -> bool:
    return any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )


def _is_cpu_only() -> bool:
    """Whether JAX can only use CPUs, as far as one can tell without starting it."""
    if jax.config.jax_platforms:
        return set(jax.config.jax_platforms.split(",")) == {"cpu"}
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and importlib.util.find_spec("libtpu") is None
