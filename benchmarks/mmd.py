"""What MMD-GANs cost: their loss and spectral normalization beside a step of the same networks, and memory of the MMD.

    python benchmarks/mmd.py

Prints Markdown: milliseconds of a training step with each method on the networks `sngan`, as ratios to the plain GAN's
of the same run, and the peak memory of `squared_mmd` and its gradient for 10,000 rows on each side.
"""

import argparse
import functools
import multiprocessing
import pathlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import timing

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax import builders, squared_mmd
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import Batch
from buresgan_jax.runtime import process

# Name, argument of the config, and settings on top of the common ones.
ROWS = (
    ("GAN", "gan", {"discriminator.output_dim": 1}),
    ("BuresGAN", "bures", {"discriminator.output_dim": 1}),
    ("MMD, repulsive", "mmd_repulsive", {}),
    ("MMD, bounded", "mmd_repulsive_bounded", {}),
    ("MMD, repulsive, norm of the kernel", "mmd_repulsive", {"discriminator.spectral_norm": "kernel"}),
    ("MMD, repulsive, norm of the operator", "mmd_repulsive", {"discriminator.spectral_norm": "operator"}),
)


def make_step(argument: str, settings: dict, batch_size: int, base_filters: int):
    """A compiled update on random images of 32x32, as a function without arguments."""
    config = config_lib.default(argument)
    config_lib.use_images(config, image_size=32, channels=3)
    common = {"generator.name": "sngan", "discriminator.name": "sngan", "discriminator.spectral_norm": "none"}
    common |= {
        "generator.base_filters": base_filters,
        "discriminator.base_filters": base_filters,
        "data.name": "cifar10",
    }
    config.update_from_flattened_dict(common | settings)
    algorithm = builders.algorithm(config_lib.finish(config))
    images = np.random.default_rng(0).uniform(-1, 1, (batch_size, 32, 32, 3)).astype(np.float32)
    batch = Batch(jnp.asarray(images)[None], jnp.arange(batch_size)[None])
    state = jax.jit(algorithm.init)(jax.random.key(0), images[0])
    update = jax.jit(algorithm.update).lower(state, batch, jax.random.key(1)).compile()
    return functools.partial(update, state, batch, jax.random.key(1))


def peak_of_mmd(n: int, dim: int, with_gradient: bool) -> float:
    """MiB that the process needs beyond the rows while it computes their squared MMD; Linux."""
    x, y = (jax.random.normal(jax.random.key(seed), (n, dim)) for seed in (0, 1))
    function = jax.grad(squared_mmd) if with_gradient else squared_mmd
    function = jax.jit(function).lower(x, y).compile()
    jax.block_until_ready((x, y))
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _memory("VmRSS")
    jax.block_until_ready(function(x, y))
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """MiB that the system reports for this process under a name."""
    line = re.search(rf"{name}:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return int(line[1]) / 1024


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--base-filters", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=300, help="seconds of the timed rounds")
    options = parser.parse_args()
    process.tune_for_cpu(1)
    steps = {name: make_step(*row, options.batch_size, options.base_filters) for name, *row in ROWS}
    medians = timing.medians_in_turn(steps, rounds=options.rounds, budget=options.budget)
    print(f"| step on 32x32, batch {options.batch_size} | ms | of the GAN's |\n|---|---|---|")
    for name, seconds in medians.items():
        print(f"| {name} | {1000 * seconds:.4g} | {seconds / medians['GAN']:.3f} |")
    print("\n| squared MMD of 10,000 and 10,000 rows | peak MiB, value | peak MiB, gradient |\n|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for dim in (16, 2048):
        peaks = []
        for with_gradient in (False, True):
            with context.Pool(1) as pool:  # a process of its own, which has reached no peak before
                peaks.append(pool.apply(peak_of_mmd, (10_000, dim, with_gradient)))
        print(f"| {dim} dimensions | {peaks[0]:.0f} | {peaks[1]:.0f} |")


if __name__ == "__main__":
    main()
