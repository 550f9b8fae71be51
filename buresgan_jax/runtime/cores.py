"""The CPU cores that this process may use, also in a container."""

import math
import os
import pathlib
import random
import socket

# A container's quota, by version 2 of Linux's control groups: microseconds of CPU time per period, or "max".
_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> list[int | None]:
    """Returns the cores that this process may use, or one `None` per core if the system cannot pin (macOS).

    Returns:
        The cores of the affinity mask. If a container's quota of CPU time covers fewer cores, a sample of that many,
        drawn by the host's name, so that several containers do not all use the first cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None] * (os.cpu_count() or 1)
    num_cores = max(1, math.floor(min(_quota(), len(cores))))
    return cores if num_cores == len(cores) else sorted(random.Random(socket.gethostname()).sample(cores, num_cores))


def _quota() -> float:
    """Returns the container's quota of CPU time in cores."""
    try:
        quota, period = _QUOTA.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
