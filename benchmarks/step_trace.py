"""Kernel times of an accelerator during a training step, from a trace of JAX's profiler."""

import collections
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator

import jax
import timing


def kernels(call: Callable[[], object], num_steps: int, folder: pathlib.Path) -> list[tuple[str, float]]:
    """Profiles one call, and adds up what ran on the device.

    Args:
        call: Function that starts `num_steps` training steps. It must have run before.
        num_steps: Number of steps in the call.
        folder: Folder of the trace, for TensorBoard or XProf.

    Returns:
        The result of `summary`. On a CPU only its first entry, because CPU traces do not separate kernels from their
        callers.
    """
    with jax.profiler.trace(str(folder)):
        seconds = timing.seconds_of(call)
    if jax.default_backend() == "cpu":
        return summary([], seconds, num_steps)[:1]
    path = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    return summary(_events(jax.profiler.ProfileData.from_file(str(path))), seconds, num_steps)


def summary(events: Iterable[tuple[float, float, str]], seconds: float, num_steps: int) -> list[tuple[str, float]]:
    """Adds up events of a device.

    Args:
        events: Start and end in nanoseconds and name of each event, in any order.
        seconds: Time of the whole call.
        num_steps: Number of steps in the call.

    Returns:
        Names and milliseconds per step: the whole call, the time in which nothing ran, then the kernels without the
        numbers at the end of their names, the longest first. Kernels that run at the same time each count in full.
    """
    busy, end, times = 0.0, 0.0, collections.Counter()
    for start, stop, name in sorted(events):
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
        times[re.sub(r"[._\d]+$", "", name)] += stop - start
    whole = {"(the call, profiled)": 1e9 * seconds, "(nothing)": max(0.0, 1e9 * seconds - busy)}
    return [(name, 1e-6 * ns / num_steps) for name, ns in (*whole.items(), *times.most_common())]


def _events(profile) -> Iterator[tuple[float, float, str]]:
    """Events on the devices: kernels of CUDA's streams, operations of a TPU."""
    for plane in profile.planes:
        for line in plane.lines:
            if plane.name.startswith("/device:") and line.name.startswith(("Stream", "XLA Ops")):
                for event in line.events:
                    yield event.start_ns, event.start_ns + event.duration_ns, event.name
