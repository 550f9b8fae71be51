"""Milliseconds per training step, beside the floors that the project has set itself.

    python benchmarks/steps.py [--cores=0] [--calls=7] [--rows=ring]

One BLAS thread; batches are resident; medians over calls after one that compiles. The floors are those of a machine
with two such cores (docs/results): read the ratio of two rows of one run, not the milliseconds of two machines.
"""

import argparse
import os
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax import blas, build, data, devices
from configs import cifar, ring, stacked_mnist

# name: (config, batch size, steps per call, floor in ms)
ROWS = {
    "ring gan": (lambda: ring.get_config("gan"), 256, 100, 1.3),
    "ring bures": (lambda: ring.get_config("bures"), 256, 100, 2.5),
    "ring alternating_bures": (lambda: ring.get_config("alternating_bures"), 256, 100, 3.6),
    "stacked_mnist gan": (lambda: stacked_mnist.get_config("gan"), 64, 1, None),
    "stacked_mnist bures": (lambda: stacked_mnist.get_config("bures"), 64, 1, None),
    "cifar gan": (lambda: cifar.get_config("gan"), 64, 1, None),
    "cifar bures": (lambda: cifar.get_config("bures"), 64, 1, 215.0),
}


def time_row(config, batch_size, steps_per_call, num_calls):
    """Seconds to the first result, and the median milliseconds per step."""
    algorithm, local = build.algorithm(config, devices.AXIS), build.algorithm(config)
    shape = build.example_shape(config)
    state = jax.device_get(jax.jit(local.init)(jax.random.key(0), np.zeros(shape, np.float32)))
    real = jax.ShapeDtypeStruct((local.batches_per_update, batch_size, *shape), jnp.float32)
    tracker = devices.make_tracker(local, state, real)
    batches = np.random.default_rng(0).normal(size=(1, steps_per_call, *real.shape)).astype(np.float32)
    run_steps = devices.over_devices(devices.make_run_steps(algorithm, data.decode_points, steps_per_call))
    seconds = []
    for _ in range(num_calls + 1):
        begin = time.perf_counter()
        noticed = np.zeros(1, np.int32)
        state, tracker, _ = run_steps(state, tracker, jax.random.key(1), batches, steps_per_call, noticed)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begin)
    return seconds[0], 1000 * float(np.median(seconds[1:])) / steps_per_call


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", help="pin to these cores, such as 0 or 0,1; default: all")
    parser.add_argument("--calls", type=int, default=7, help="timed calls per row")
    parser.add_argument("--rows", default="", help="only rows whose name contains this")
    options = parser.parse_args()
    if options.cores:
        os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
    blas.limit_threads(1)
    cores = len(os.sched_getaffinity(0))
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {cores} cores, load {os.getloadavg()[0]:.1f}")
    print("| row | batch | compile, s | ms/step | floor | ratio |")
    print("|---|---|---|---|---|---|")
    for name, (make_config, batch_size, steps_per_call, floor) in ROWS.items():
        if options.rows in name:
            compile_seconds, ms = time_row(make_config(), batch_size, steps_per_call, options.calls)
            against = f"{floor} | {ms / floor:.2f}" if floor else "- | -"
            print(f"| {name} | {batch_size} | {compile_seconds:.1f} | {ms:.2f} | {against} |", flush=True)


if __name__ == "__main__":
    main()
