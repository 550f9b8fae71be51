"""The CPU cores that this process may use, in a container too."""

import math
import os
import pathlib
import random
import socket

# A container's quota, by version 2 of Linux's control groups: microseconds of CPU time per period, or "max".
_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")


def available_cores() -> list[int | None]:
    """The cores that this process may use; as many `None` where the system cannot pin (macOS).

    Returns:
        The cores of the affinity mask. Where a container's quota of CPU time is less than they give, as many of them as
        it pays for, drawn by the host's name: containers side by side do not all take the first ones.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None] * (os.cpu_count() or 1)
    num_cores = max(1, math.floor(min(_quota(), len(cores))))
    return cores if num_cores == len(cores) else sorted(random.Random(socket.gethostname()).sample(cores, num_cores))


def _quota() -> float:
    """Cores' worth of CPU time."""
    try:
        quota, period = _QUOTA.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
