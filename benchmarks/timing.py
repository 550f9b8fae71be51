"""Timing on a shared machine: medians of calls in turn, pinned cores, and the speed of the machine."""

import contextlib
import datetime
import multiprocessing
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import NamedTuple

import jax
import jax.numpy as jnp

CLOCKS = {"wall": "perf_counter", "cpu": "process_time"}
_clock = CLOCKS["wall"]
# It ends with the process that wants it, however that one ends: a loop left behind would spoil all later timings.
_ENDLESS = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


class Elsewhere:
    """A call in its own process, which times the call. A context manager that ends the process."""

    _PATIENCE = 60.0  # seconds for a call that has begun, at the end

    def __init__(self, make: Callable[..., Callable[[], object]], *arguments: object):
        """Starts the process and makes the call there.

        Args:
            make: Module-level function that returns the call.
            arguments: Arguments of `make`.

        Raises:
            RuntimeError: `make` failed, or the process ended.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self._process.start()
        other.close()  # so that the end of the process is the end of the pipe
        try:
            self._ask(None)
        except BaseException:
            self.__exit__()
            raise

    def seconds(self, count: int) -> float:
        """Wall-clock seconds of several calls in that process, until the last result is ready.

        Raises:
            RuntimeError: A call failed, or the process ended.
        """
        return self._ask(count)

    def _ask(self, count):
        try:
            self._pipe.send(count)
            problem, seconds = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            problem = f"the process ended with status {self._process.exitcode}"
        if problem:
            raise RuntimeError(problem)
        return seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pipe.close()
        self._process.join(self._PATIENCE)
        self._process.kill()
        self._process.join()


def _serve(pipe, make, arguments):
    """Answers every count with a problem or None, and the seconds of that many calls. None asks for a problem only."""
    call = None
    with contextlib.suppress(EOFError, OSError):  # of the pipe: the other side has ended
        while True:
            count, seconds, problem = pipe.recv(), None, None
            try:
                if call is None:
                    call = make(*arguments)
                if count is not None:
                    seconds = seconds_of(call, count)
            except Exception as error:  # whatever it is, it is for the other side to tell
                problem = f"{type(error).__name__}: {str(error)[:200]}"
            pipe.send((problem, seconds))


def seconds_of(call: Callable[[], object] | Elsewhere, count: int = 1) -> float:
    """Seconds of `count` calls, started without waiting for each other, until the last result is ready."""
    if isinstance(call, Elsewhere):
        return call.seconds(count)
    begin = _now()
    for _ in range(count):
        result = call()
    jax.block_until_ready(result)
    return _now() - begin


def use_clock(name: str) -> None:
    """Sets the clock of this process's calls, one of `CLOCKS`.

    CPU time is that of all threads of the process. It hardly changes where other programs have most of the cores, but
    it leaves out what a call waits for, and an accelerator's work.
    """
    global _clock
    _clock = CLOCKS[name]


def _now():
    return getattr(time, _clock)()


def medians_in_turn(
    calls: Mapping[str, Callable[[], object] | Elsewhere],
    *,
    rounds: int,
    budget: float,
    fill: float = 0.0,
    in_a_row: int = 1,
    skip: int = 0,
) -> dict[str, float]:
    """Median seconds of each call, all in turn, so that disturbances of the machine affect all of them equally.

    Args:
        calls: Calls by name. Each must have run before.
        rounds: Number of turns of each call.
        budget: Wall-clock seconds after which no new round begins, once there were three rounds.
        fill: Seconds to fill with calls that are started without waiting for each other. Their mean is one measurement.
            0: one call.
        in_a_row: Number of measurements in a turn.
        skip: Number of measurements at the start of a turn that do not count.
    """
    counts = {name: _num_calls(call, fill) for name, call in calls.items()}
    times, begin = {name: [] for name in calls}, time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - begin > budget:
            break
        for name, call in calls.items():
            times[name] += [seconds_of(call, counts[name]) / counts[name] for _ in range(in_a_row)][skip:]
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _num_calls(call, seconds):
    """The number of calls that take about the given time."""
    return max(1, round(seconds / min(seconds_of(call) for _ in range(2)))) if seconds else 1


def pin(cores: Sequence[int] | None) -> list[int]:
    """Pins this process and its future threads, if the system supports it; returns the cores."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return list(range(os.cpu_count()))
    if cores is not None:
        os.sched_setaffinity(0, cores)
    return sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def busy(cores: Sequence[int]) -> Iterator[list[subprocess.Popen]]:
    """Keeps cores busy with one endless loop each, in a separate process."""
    loops = [subprocess.Popen([sys.executable, "-c", _ENDLESS, str(os.getpid())]) for _ in cores]
    try:
        for loop, core in zip(loops, cores, strict=True):
            os.sched_setaffinity(loop.pid, {core})
        yield loops
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


class Speed(NamedTuple):
    """Measured peak speed of a device: 10^9 floating-point operations, and 10^9 bytes, per second.

    Attributes:
        gigaflops: Speed of matrix products.
        gigabytes: Speed of reading and writing, from adding one to a large array.
        size: Size of the matrices.
        dtype: Dtype of the products, as in `speed`.
        is_cpu: Whether the device is a CPU.
    """

    gigaflops: float
    gigabytes: float
    size: int
    dtype: str
    is_cpu: bool


def speed(dtype: str = "float32") -> Speed:
    """Measures the device. `dtype` is float32, bfloat16, or tf32 (float32 at JAX's current precision)."""
    is_cpu = jax.default_backend() == "cpu"
    size, numbers = (2048, 2**26) if is_cpu else (8192, 2**28)
    kind = jnp.bfloat16 if dtype == "bfloat16" else jnp.float32
    a = jax.random.normal(jax.random.key(0), (size, size), kind)
    x, product, plus = jnp.zeros(numbers, jnp.float32), jax.jit(jnp.matmul), jax.jit(lambda x: x + 1, donate_argnums=0)

    def stream():
        nonlocal x
        x = plus(x)
        return x

    calls = {"product": lambda: product(a, a), "stream": stream}
    for call in calls.values():
        seconds_of(call)
    seconds = medians_in_turn(calls, rounds=7, budget=5, fill=0.1)
    gigaflops, gigabytes = 2 * size**3 / seconds["product"] / 1e9, 2 * x.nbytes / seconds["stream"] / 1e9
    return Speed(gigaflops, gigabytes, size, dtype, is_cpu)


def eigh_ms(size: int = 128) -> float:
    """Milliseconds of `jnp.linalg.eigh` of a symmetric float32 matrix."""
    a, eigh = jax.random.normal(jax.random.key(0), (size, size)), jax.jit(jnp.linalg.eigh)
    seconds_of(lambda: eigh(a @ a.T))
    return 1e3 * medians_in_turn({"eigh": lambda: eigh(a @ a.T)}, rounds=21, budget=5)["eigh"]


def cores_fact(cores: Sequence[int]) -> str:
    """The number of cores, and which ones."""
    return f"{len(cores)} ({', '.join(map(str, cores))})"


def header(facts: Mapping[str, str], speed: Speed) -> list[str]:
    """Markdown: command, date, versions, device, load and speed of the machine."""
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
        "Speed": f"{speed.dtype} matmul {speed.size}: {speed.gigaflops:.0f} GFLOP/s; "
        f"memory: {speed.gigabytes:.0f} GB/s; eigh 128: {eigh_ms():.2f} ms",
    }
    return [f"- {name}: {value}" for name, value in lines.items()]


def _processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
