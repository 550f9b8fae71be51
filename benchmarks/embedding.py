"""What Bourgain's embedding costs: seconds and memory of `bourgain_embedding`, by the number of images of 32 x 32 x 3.

    python benchmarks/embedding.py --cores=0,1 --output=docs/results/embedding.md

Images are random, with ten classes: cost does not depend on the pixels. Each number of images has a process of its own,
in which a small embedding is made first, so that neither compilation nor the start counts. Memory is the largest part
of the process in main memory while it embeds (Linux), beyond what it has before, the images included. Seconds of the
clock include the time that other programs use the cores; seconds of the processor do not.
"""

import argparse
import multiprocessing
import pathlib
import re
import sys
import time
from typing import NamedTuple

import numpy as np
import timing

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax import bourgain_embedding
from buresgan_jax.runtime import process

SIZES = (500, 1000, 2000, 5000, 10_000)
_NOTE = """Random images of 32 x 32 x 3; each row is one embedding in a process of its own. Seconds of the clock include
the time that other programs had the cores (the load above), seconds of the processor do not. The peak is that of the
whole process. The embedding's part is what the process needs beyond its state before, which includes the images."""


class Cost(NamedTuple):
    """Cost of an embedding.

    Attributes:
        dim: Dimension of the coordinates.
        seconds: Seconds of the clock.
        processor_seconds: Seconds of the processor, of all threads.
        before: MiB of the process with its images.
        peak: MiB of the process at most.
    """

    dim: int
    seconds: float
    processor_seconds: float
    before: float
    peak: float


def images(num: int) -> np.ndarray:
    """Random images of ten classes, `[num, 32, 32, 3]`, float32 in [-1, 1]."""
    random = np.random.default_rng(0)
    classes = random.uniform(-1, 1, (10, 32, 32, 3)).astype(np.float32)
    noise = random.standard_normal((num, 32, 32, 3), np.float32)
    noise *= 0.3
    noise += classes[random.integers(0, 10, num)]
    return np.clip(noise, -1, 1, out=noise)


def cost(num: int, metric: str, cores: list[int]) -> Cost:
    """Embeds so many images in this process, whose peak memory has to be its own."""
    timing.pin(cores)
    process.tune_for_cpu(len(cores))
    points = images(num)
    bourgain_embedding(points[:64], metric=metric)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begin, processor = _memory("VmRSS"), time.perf_counter(), time.process_time()
    found = bourgain_embedding(points, metric=metric)
    seconds, processor = time.perf_counter() - begin, time.process_time() - processor
    return Cost(found.coordinates.shape[1], seconds, processor, before, _memory("VmHWM"))


def _memory(name):
    """MiB that the system reports for this process under a name."""
    line = re.search(rf"{name}:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return int(line[1]) / 1024


def table(sizes: tuple[int, ...], metrics: tuple[str, ...], cores: list[int]) -> list[str]:
    """Lines of the table."""
    lines = [
        "| images | metric | dimension | seconds, clock | seconds, processor | peak, MiB | the embedding's part, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    context = multiprocessing.get_context("spawn")
    for metric in metrics:
        for num in sizes:
            with context.Pool(1) as pool:
                each = pool.apply(cost, (num, metric, cores))
            times = f"{each.seconds:.2f} | {each.processor_seconds:.2f}"
            memory = f"{each.peak:.0f} | {each.peak - each.before:.0f}"
            lines.append(f"| {num:,} | {metric} | {each.dim} | {times} | {memory} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", help="numbers of the cores to use, separated by commas; default: all")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--metrics", nargs="+", default=("euclidean",), choices=("euclidean", "l1", "angle"))
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    cores = timing.pin([int(core) for core in options.cores.split(",")] if options.cores else None)
    process.tune_for_cpu(len(cores))
    rows = table(tuple(options.sizes), tuple(options.metrics), cores)
    facts = {"Cores": timing.cores_fact(cores)}
    lines = ["# Bourgain's embedding: time and memory", "", *timing.header(facts, timing.speed()), "", _NOTE, "", *rows]
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
