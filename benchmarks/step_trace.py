"""What a device did during a training step, from a trace of JAX's profiler."""

import collections
import pathlib
import re
from collections.abc import Callable, Iterator

import jax
import timing


def kernels(call: Callable[[], object], num_steps: int, folder: pathlib.Path) -> list[tuple[str, float]]:
    """Profiles one call, and adds up what ran on the device.

    Args:
        call: starts `num_steps` training steps; has run before.
        num_steps: as said.
        folder: where the trace goes, for TensorBoard or XProf.

    Returns:
        Names and milliseconds per step, the longest first: the time of the call and that in which nothing ran, then the
        device's kernels (on a CPU: XLA's operations) without the numbers at the end of their names. Kernels that run at
        once count twice; "nothing" is what is between them.
    """
    with jax.profiler.trace(str(folder)):
        seconds = timing.seconds_of(call)
    path = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    events = sorted(_events(jax.profiler.ProfileData.from_file(str(path))))
    busy, end = 0.0, 0.0
    for start, stop, _ in events:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    times = collections.Counter()
    for start, stop, name in events:
        times[re.sub(r"[._\d]+$", "", name)] += stop - start
    whole = [("(the call, profiled)", 1e3 * seconds), ("(nothing)", max(0.0, 1e3 * seconds - 1e-6 * busy))]
    return [(name, ms / num_steps) for name, ms in [*whole, *((name, 1e-6 * ns) for name, ns in times.most_common())]]


def _events(profile) -> Iterator[tuple[float, float, str]]:
    """Start and end in nanoseconds, and the name, of every event on a device."""
    is_cpu = jax.default_backend() == "cpu"
    for plane in profile.planes:
        for line in plane.lines:
            is_device = plane.name.startswith("/device:") and line.name.startswith(("Stream", "XLA Ops"))
            for event in line.events if is_cpu or is_device else ():
                if is_device or any(name == "hlo_op" for name, _ in event.stats):
                    yield event.start_ns, event.start_ns + event.duration_ns, event.name
