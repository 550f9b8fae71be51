"""Compares random number generators for z: JAX's generators, and ours.

    python benchmarks/prng.py

Times are medians of 0.02 s of calls in turn. Exit status 0. Training uses threefry, JAX's default: its draws are the
same on every platform and under every sharding, which `rbg` and `unsafe_rbg` do not promise. "ours" draws the same
numbers with `buresgan_jax.ops.random`.
"""

import pathlib
import sys

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import timing

from buresgan_jax.ops import random

SHAPES = {"ring, batch 256": (256, 256), "CIFAR, batch 256": (256, 100)}
GENERATORS = ("ours", "threefry2x32", "rbg", "unsafe_rbg")


def draw(generator, shape):
    """A call that draws z, with the key of a step."""
    is_ours = generator == "ours"
    key = jax.random.key(0, impl=None if is_ours else generator)
    normal = random.normal if is_ours else jax.random.normal
    call = jax.jit(lambda step: normal(jax.random.fold_in(key, step), shape))
    return lambda: call(1)


def main():
    """Prints the table."""
    print("\n".join(timing.header({"Cores": timing.cores_fact(timing.pin(None))}, timing.speed())))
    print(f"\n| z | {' | '.join(f'{name} ms' for name in GENERATORS)} |\n|---|{'---|' * len(GENERATORS)}")
    for name, shape in SHAPES.items():
        calls = {generator: draw(generator, shape) for generator in GENERATORS}
        for call in calls.values():
            timing.seconds_of(call)
        seconds = timing.medians_in_turn(calls, rounds=51, budget=10, fill=0.02)
        print(f"| {name} {list(shape)} | {' | '.join(f'{1e3 * seconds[generator]:.3f}' for generator in GENERATORS)} |")


if __name__ == "__main__":
    main()
