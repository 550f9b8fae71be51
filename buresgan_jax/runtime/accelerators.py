"""Finds JAX's platform without starting JAX in this process, and divides GPUs among runs in separate processes."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping

from buresgan_jax.errors import UserError

_MEMORY_SHARE = 0.9  # of a GPU's memory, for the pools of all its runs; each run needs some more for CUDA itself
_MEMORY_VARIABLES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")  # JAX rejects both at once
_PROBE = "import jax; print(jax.default_backend(), jax.local_device_count())"


def is_cpu_only(platforms: str | None) -> bool:
    """Returns whether JAX can only use CPUs, as far as this is known without starting it.

    Args:
        platforms: Value of `JAX_PLATFORMS`, such as `cuda,cpu`; None or empty if JAX chooses.
    """
    if platforms:
        return set(platforms.split(",")) == {"cpu"}
    has_modules = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    has_entry_points = bool(importlib.metadata.entry_points(group="jax_plugins"))
    return not has_modules and not has_entry_points and "PJRT_NAMES_AND_LIBRARY_PATHS" not in os.environ


def of_children() -> tuple[str, int]:
    """Returns the platform (`cpu`, `gpu`, `tpu`) and the number of devices of JAX in child processes.

    If the platform might not be a CPU, a child process finds out, which takes a few seconds. JAX in this process would
    hold most of the memory of every GPU until this process ends, and driver files do not show what JAX uses.

    Raises:
        UserError: JAX does not start in the child process.
    """
    if is_cpu_only(os.environ.get("JAX_PLATFORMS")):
        return "cpu", 1
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    probe = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True)
    if probe.returncode:
        raise UserError(f"JAX does not start: {(probe.stderr.splitlines() or ['it printed no error'])[-1]}")
    platform, number = probe.stdout.split()[-2:]
    return platform, int(number)


def environment_of_run(place: int, *, num_places: int, num_gpus: int, user: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables that give a run one GPU, in turn, and a fraction of its memory.

    Args:
        place: Index of the run among those that run at the same time, from 0.
        num_places: Number of runs at the same time. A single run gets all GPUs.
        num_gpus: Number of GPUs that JAX sees.
        user: The user's environment. The GPUs are those of its `CUDA_VISIBLE_DEVICES`. If it sets a fraction of the
            memory, that value is kept.
    """
    if num_places == 1:
        return {}
    names = (user.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(num_gpus)))).split(",")
    added = {"CUDA_VISIBLE_DEVICES": names[place % num_gpus].strip()}
    if not any(user.get(name) for name in _MEMORY_VARIABLES):
        added[_MEMORY_VARIABLES[1]] = f"{_MEMORY_SHARE / -(-num_places // num_gpus):.3f}"
    return added
