"""Measuring on a machine that others use too: medians of calls in turn, pinned cores, and the speed of the machine."""

import contextlib
import datetime
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata

import jax
import jax.numpy as jnp

# It ends with the process that wants it, however that one ends: a loop left behind would spoil all later timings.
_ENDLESS = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


def seconds_of(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, its result included."""
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def medians_in_turn(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, budget: float, in_a_row: int = 1, skip: int = 0
) -> dict[str, float]:
    """Median seconds of each call, all in turn, so that what disturbs the machine disturbs them alike.

    Args:
        calls: by name; each has run before.
        rounds: how many turns each has.
        budget: seconds after which no new round begins, once there were three.
        in_a_row: how often a call runs in its turn.
        skip: how many of these do not count.
    """
    times, begin = {name: [] for name in calls}, time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - begin > budget:
            break
        for name, call in calls.items():
            times[name] += [seconds_of(call) for _ in range(in_a_row)][skip:]
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def pin(cores: Sequence[int] | None) -> list[int]:
    """Pins this process, and all threads that it starts from now on, where the system can; returns its cores."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return list(range(os.cpu_count()))
    if cores is not None:
        os.sched_setaffinity(0, cores)
    return sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def busy(cores: Sequence[int]) -> Iterator[list[subprocess.Popen]]:
    """Keeps cores busy, with an endless loop each, in a process of its own."""
    loops = [subprocess.Popen([sys.executable, "-c", _ENDLESS, str(os.getpid())]) for _ in cores]
    try:
        for loop, core in zip(loops, cores, strict=True):
            os.sched_setaffinity(loop.pid, {core})
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def matmul_gigaflops(size: int = 2048) -> float:
    """Float32 matrix products of JAX, 10^9 floating-point operations per second on the cores of this process."""
    a, product = jax.random.normal(jax.random.key(0), (size, size)), jax.jit(jnp.matmul)
    seconds_of(lambda: product(a, a))
    seconds = medians_in_turn({"product": lambda: product(a, a)}, rounds=7, budget=5)["product"]
    return 2 * size**3 / seconds / 1e9


def eigh_ms(size: int = 128) -> float:
    """Milliseconds of `jnp.linalg.eigh` of a symmetric float32 matrix."""
    a, eigh = jax.random.normal(jax.random.key(0), (size, size)), jax.jit(jnp.linalg.eigh)
    seconds_of(lambda: eigh(a @ a.T))
    return 1e3 * medians_in_turn({"eigh": lambda: eigh(a @ a.T)}, rounds=21, budget=5)["eigh"]


def header(facts: Mapping[str, str], rate: float) -> list[str]:
    """Markdown: what ran where and when, and how fast the machine is; `rate` is that of `matmul_gigaflops`."""
    packages = ("jax", "jaxlib", "flax", "numpy", "scipy", "torch")
    versions = []
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    lines = {
        "Command": f"`python {shlex.join(sys.argv)}`",
        "Date": f"{datetime.date.today()}",
        "Versions": f"Python {platform.python_version()}, {', '.join(versions)}",
        "Device": f"{jax.devices()[0].device_kind} ({jax.default_backend()}), {_processor()}",
        "Load at the start": f"{os.getloadavg()[0]:.1f}",
        **facts,
        "Speed of these cores": f"float32 matmul 2048: {rate:.0f} GFLOP/s; eigh 128: {eigh_ms():.2f} ms",
    }
    return [f"- {name}: {value}" for name, value in lines.items()]


def _processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
