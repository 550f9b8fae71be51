"""The CPU cores that this process has to itself, in a container too."""

import math
import os
import pathlib

_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")  # of version 2: microseconds of CPU time per period, or "max"


def available_cores() -> list[int | None]:
    """The cores that this process may use; as many `None` where the system cannot pin (macOS).

    Returns:
        The cores of the affinity mask, the first ones where a container's quota of CPU time is less than they give.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None] * (os.cpu_count() or 1)
    return cores[: max(1, math.floor(min(_quota(), len(cores))))]


def _quota() -> float:
    """Cores' worth of CPU time."""
    try:
        quota, period = _QUOTA.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
