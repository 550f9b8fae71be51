"""What becomes of the memory that a program on a CPU has freed."""

import ctypes
import os
import platform

import jax

from buresgan_jax.runtime.accelerators import is_cpu_only

# Of glibc's malloc.h: parameters of `mallopt`.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_SETTINGS = {
    _M_ARENA_MAX: 1,  # those of the other threads hold 64 MB at most, and what is larger is mapped and unmapped
    _M_MMAP_MAX: 0,  # large blocks come from the heap
    _M_TRIM_THRESHOLD: -1,  # whose top is never given back
}


def keep_freed_memory() -> None:
    """Lets this process keep freed memory for its next allocations, instead of giving it back to the system.

    XLA's CPU backend allocates the buffers of every call anew, and glibc asks the system for large ones each time: a
    training step then begins on pages that the kernel has yet to fill with zeros, 40,000 of them for a CIFAR DCGAN at
    batch 64, which takes a tenth of its CPU time. With this there are none after the first steps. The process keeps the
    most memory that it ever needed, and fragments may add to that (measured: from 1.06 to 1.15 GB); compiling the
    step takes longer, once (7.8 and 9.7 s).

    Does nothing without glibc (macOS, musl), where JAX may use an accelerator, or where the user's environment sets
    glibc's allocator (`MALLOC_...`, `GLIBC_TUNABLES`), which is also the way out where memory is scarce: of several
    processes side by side, each keeps its own peak. All threads then share one allocator with one lock; measured on two
    cores only. Call it before the first JAX call, as `process.tune_for_cpu` does: on threads that already allocate it
    has less effect.
    """
    is_glibc = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"
    if is_glibc and not _is_set_by_user() and is_cpu_only(jax.config.jax_platforms):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _SETTINGS.items():
            mallopt(parameter, value)  # what it refuses stays as it was


def _is_set_by_user() -> bool:
    has_variables = any(name.startswith("MALLOC_") for name in os.environ)
    return has_variables or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
