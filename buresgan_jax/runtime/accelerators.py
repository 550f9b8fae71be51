"""What JAX computes on, told without starting it here, and how runs in processes of their own share it."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping

from buresgan_jax.errors import UserError

_MEMORY_SHARE = 0.9  # of a GPU, for the pools of all its runs; beside it each needs some for CUDA itself
_MEMORY_VARIABLES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")  # JAX refuses both at once
_PROBE = "import jax; print(jax.default_backend(), jax.local_device_count())"


def is_cpu_only(platforms: str | None) -> bool:
    """Whether JAX can only use CPUs, as far as one can tell without starting it.

    Args:
        platforms: as `JAX_PLATFORMS` has them, such as `cuda,cpu`; None or empty where JAX chooses.
    """
    if platforms:
        return set(platforms.split(",")) == {"cpu"}
    has_modules = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    has_entry_points = bool(importlib.metadata.entry_points(group="jax_plugins"))
    return not has_modules and not has_entry_points and "PJRT_NAMES_AND_LIBRARY_PATHS" not in os.environ


def of_children() -> tuple[str, int]:
    """What JAX computes on in the processes that this one starts: platform (`cpu`, `gpu`, `tpu`), number of devices.

    Where it might not be a CPU, one such process is asked, which takes a few seconds: JAX started in this one would
    hold most of the memory of every GPU for as long as this one lives, and files of drivers do not tell what JAX uses.

    Raises:
        UserError: JAX does not start there.
    """
    if is_cpu_only(os.environ.get("JAX_PLATFORMS")):
        return "cpu", 1
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    probe = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True)
    if probe.returncode:
        raise UserError(f"JAX does not start: {(probe.stderr.splitlines() or ['it says nothing'])[-1]}")
    platform, number = probe.stdout.split()[-2:]
    return platform, int(number)


def environment_of_run(place: int, *, num_places: int, num_gpus: int, user: Mapping[str, str]) -> dict[str, str]:
    """The variables that let a run share GPUs with those beside it: one GPU in turn, and a share of its memory.

    Args:
        place: of the run among those that go on at once, from 0.
        num_places: how many go on at once. One alone has all GPUs, as it would by itself.
        num_gpus: that JAX sees.
        user: the environment. GPUs are taken from its `CUDA_VISIBLE_DEVICES`, and its share of the memory stays.
    """
    if num_places == 1:
        return {}
    names = (user.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(num_gpus)))).split(",")
    added = {"CUDA_VISIBLE_DEVICES": names[place % num_gpus].strip()}
    if not any(user.get(name) for name in _MEMORY_VARIABLES):
        added[_MEMORY_VARIABLES[1]] = f"{_MEMORY_SHARE / -(-num_places // num_gpus):.3f}"
    return added
