"""Which of JAX's random number generators draws z the fastest here.

    python benchmarks/prng.py

Medians of 0.02 s of calls in turn, pinned to one core on a CPU; exit status 0. Training uses threefry, JAX's default:
its draws are the same on every platform and under every sharding, which `rbg` and `unsafe_rbg` do not promise.
"""

import pathlib
import sys

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import timing

SHAPES = {"ring, batch 256": (256, 256), "CIFAR, batch 256": (256, 100)}
GENERATORS = ("threefry2x32", "rbg", "unsafe_rbg")


def draw(generator, shape):
    """A call that draws z, with the key of a step."""
    key = jax.random.key(0, impl=generator)
    normal = jax.jit(lambda step: jax.random.normal(jax.random.fold_in(key, step), shape))
    return lambda: normal(1)


def main():
    """Prints the table."""
    cores = timing.pin([timing.pin(None)[0]])
    print("\n".join(timing.header({"Cores": f"1 ({cores[0]})"}, timing.speed())))
    print(f"\n| z | {' | '.join(f'{name} ms' for name in GENERATORS)} |\n|---|{'---|' * len(GENERATORS)}")
    for name, shape in SHAPES.items():
        calls = {generator: draw(generator, shape) for generator in GENERATORS}
        for call in calls.values():
            timing.seconds_of(call)
        seconds = timing.medians_in_turn(calls, rounds=51, budget=10, fill=0.02)
        print(f"| {name} {list(shape)} | {' | '.join(f'{1e3 * seconds[generator]:.3f}' for generator in GENERATORS)} |")


if __name__ == "__main__":
    main()
