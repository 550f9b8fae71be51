"""JAX's persistent compilation cache in the user's cache folder, so that the second start of a run compiles nothing."""

import hashlib
import pathlib
import platform

import jax
from absl import logging

from buresgan_jax.runtime import user_cache
from buresgan_jax.runtime.paths import user_path

_MIN_SECONDS = 0.5  # programs that compile faster are not cached


def enable(folder: str | None = None) -> None:
    """Enables JAX's cache of compiled programs.

    Does nothing on CPUs with several devices: jax 0.10.2 crashes there when it loads a step with convolutions. Starts
    the backend, so call it after `jax.distributed.initialize`.

    Args:
        folder: The cache folder. Default: `JAX_COMPILATION_CACHE_DIR`, or else `buresgan_jax` in `$XDG_CACHE_HOME` or
            `~/.cache`. It can be deleted at any time.
    """
    is_cpu = jax.default_backend() == "cpu"
    if is_cpu and jax.local_device_count() > 1:
        if folder is not None:
            logging.warning("Compiled programs are not kept in %s: jax crashes on CPUs with several devices.", folder)
        return
    if folder is None and jax.config.jax_compilation_cache_dir is not None:
        return
    # CPU programs use the instructions of the CPU that compiled them, and several machines can have one home folder.
    name = f"cpu-{_cpu_features()}" if is_cpu else jax.default_backend()
    path = user_cache.folder(name) if folder is None else user_path(folder, "--compilation_cache_dir") / name
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)


def _cpu_features() -> str:
    """Returns a name for this kind of CPU."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    kinds = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return hashlib.sha256("\n".join([platform.machine(), platform.processor(), *kinds]).encode()).hexdigest()[:8]
