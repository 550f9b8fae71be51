"""Why BuresGAN's last parameters swing on the ring: what precedes a swing, and which setting makes them fewer.

    python benchmarks/swing.py --output=docs/results/swing.csv --figure=docs/results/swing.png

Trains `ring:bures` for 20,000 steps per seed. From that state it takes 5,000 further steps, once with every number
recorded at each step, and once for each of `SETTINGS` with the share of samples near a mode at each 5th step. Prints
Markdown: the table of the settings, and what the recorded numbers were before and in the swings. The states are kept
in the folder `--states`, if there is one. Lengths of samples are in standard deviations of a mode.
"""

import argparse
import csv
import functools
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import swing_tables
from flax import serialization

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import Algorithm, Batch, Game, GANState, moves
from buresgan_jax.algorithms.apply import variables
from buresgan_jax.data import pipeline
from buresgan_jax.distances import alignment, features
from buresgan_jax.penalties import zero_centered_gradient_penalty
from buresgan_jax.runtime import process

_RATES = ("optimizer.generator_learning_rate", "optimizer.discriminator_learning_rate")
# Name, terms beyond BuresGAN's, and the keys that change.
SETTINGS = {
    "as it is": ("", {}),
    "both learning rates x 0.3": ("", dict.fromkeys(_RATES, 3e-4)),
    "generator's learning rate x 0.3": ("", {_RATES[0]: 3e-4}),
    "discriminator's learning rate x 0.3": ("", {_RATES[1]: 3e-4}),
    "Adam's b2 = 0.99": ("", {"optimizer.b2": 0.99}),
    "Adam's eps = 1e-4": ("", {"optimizer.eps": 1e-4}),
    "bures.method = svd": ("", {"bures.method": "svd"}),
    "bures.rtol = 1e-2": ("", {"bures.rtol": 1e-2}),
    "bures.weight = 0": ("", {"bures.weight": 0.0}),
    "bures.weight = 0, b2 = 0.99": ("", {"bures.weight": 0.0, "optimizer.b2": 0.99}),
    "discriminator first": ("", {"algorithm.simultaneous": False}),
    "with r1, weight 0.1": ("+r1", {"r1.weight": 0.1, "r1.schedule": "constant"}),
}
_NUM_SAMPLES = 512
_REACH = 30  # standard deviations from a mode within which a sample belongs to it


class Run(NamedTuple):
    """A configured training run on points.

    Attributes:
        config: Its config.
        game: Its fixed parts.
        algorithm: Its algorithm.
        source: Its data.
    """

    config: object
    game: Game
    algorithm: Algorithm
    source: object


def open_run(terms: str, keys: Mapping[str, object], small: bool = False) -> Run:
    """Opens `ring:bures` with more terms and other values of keys; `small`: on little networks, for a test."""
    config = config_lib.default(f"bures{terms}")
    config.data.name, config.data.num_examples = "ring", 10_000
    config_lib.use_points(config)
    if small:
        keys = {"generator.hidden": (8, 8), "discriminator.hidden": (8, 8), "training.batch_size": 16, **keys}
    config.update_from_flattened_dict(dict(keys))
    config = config_lib.finish(config)
    return Run(config, builders.game(config, None), builders.algorithm(config), builders.source(config))


# Measures


def _norm(tree):
    return optax.tree.norm(tree)


def _difference(new, old):
    return jax.tree.map(jnp.subtract, new, old)


def measure_samples(run: Run, before: GANState, after: GANState, z: jax.Array) -> dict[str, jax.Array]:
    """The share of samples near a mode, how far the groups of samples lie off their modes, and their way in one step.

    Args:
        run: The run.
        before: The state before a step.
        after: The state after it.
        z: Latent samples.
    """
    old, new = (_groups(run, variables(state.generator), z) for state in (before, after))
    return {
        "near": new["near"],
        "average_near": _groups(run, after.ema, z)["near"],
        "offset": _rms(new["offsets"]),
        "width": new["width"],
        "way": _rms(new["offsets"] - old["offsets"]),
    }


def _groups(run, network, z):
    """Share near a mode; of the samples around each mode, the mean's place, and the deviation around these means."""
    mixture = run.source.mixture
    samples = run.game.generator.apply(network, z, train=False)
    from_modes = (samples[:, None] - jnp.asarray(mixture.means, jnp.float32)[None]) / mixture.std
    distances = jnp.linalg.norm(from_modes, axis=-1)
    belongs = (distances <= _REACH).astype(jnp.float32)
    offsets = jnp.einsum("nm,nmd->md", belongs, from_modes) / jnp.maximum(jnp.sum(belongs, axis=0), 1)[:, None]
    squares = jnp.sum(belongs[..., None] * (from_modes - offsets[None]) ** 2)
    width = jnp.sqrt(squares / jnp.maximum(2 * jnp.sum(belongs), 1))
    return {"near": jnp.mean(jnp.min(distances, axis=1) <= 3), "offsets": offsets, "width": width}


def _rms(offsets):
    return jnp.sqrt(jnp.mean(jnp.sum(offsets**2, axis=-1)))


def measure_step(run: Run, before: GANState, after: GANState, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
    """Gradients, Adam's numbers, slopes and the distance's spectrum of the step from `before` to `after`."""
    game, scale = run.game, run.game.generator_objective_scale
    z_key, generator_key, discriminator_key = jax.random.split(key, 3)  # as `simultaneous_update` does
    z = moves.sample_latent(game, before, z_key, len(batch.examples))
    outputs, pullback, _ = moves.forward(game, before, batch, z, key)
    whole, metrics = moves.generator_gradient(game, before, outputs, pullback, generator_key)
    terms, _ = moves.generator_gradient(game, before, outputs, pullback, generator_key, adversarial=False)
    terms = jax.tree.map(lambda leaf: scale * leaf, terms)
    of_discriminator, losses = moves.discriminator_gradient(game, before, outputs, pullback, discriminator_key)

    def score(x):
        return moves.discriminate(game, before.discriminator, None, x, key)[0][0]

    slopes = {
        name: zero_centered_gradient_penalty(score, x) ** 0.5
        for name, x in {"slope_at_fake": outputs.fake, "slope_at_real": outputs.real}.items()
    }
    numbers = {
        "bures": metrics["bures"],
        "generator_loss": metrics["generator_loss"],
        "discriminator_loss": losses["discriminator_loss"],
        "generator_gradient": _norm(whole),
        "bures_gradient": _norm(terms),
        "adversarial_gradient": _norm(_difference(whole, terms)),
        "discriminator_gradient": _norm(of_discriminator),
        "discriminator_weights": _norm(before.discriminator.params),
        **slopes,
        **_measure_spectrum(outputs),
    }
    for name, gradient in {"generator": whole, "discriminator": of_discriminator}.items():
        numbers |= _measure_adam(name, getattr(before, name), getattr(after, name), gradient)
    return numbers


def _measure_spectrum(outputs):
    x, y = features.prepare_pair(outputs.fake_features, outputs.real_features, center=True, normalize=True, scale="sum")
    s = alignment.find_rotation(x, y, "eigh").s
    kept = s > 0
    smallest = jnp.min(jnp.where(kept, s, jnp.inf)) / jnp.max(s)
    return {"kept_directions": jnp.sum(kept), "smallest_kept": smallest}


def _measure_adam(name, before, after, gradient):
    size = sum(leaf.size for leaf in jax.tree.leaves(gradient)) ** 0.5
    root = jnp.sqrt(sum(jnp.sum(leaf) for leaf in jax.tree.leaves(before.opt_state.nu)))
    return {
        f"{name}_update": _norm(_difference(after.params, before.params)) / size,  # root of the mean square
        f"{name}_second_moment": root,
        f"{name}_surprise": _norm(gradient) / root,
    }


# Training


def make_continue(run: Run, every: int, measure_all: bool):
    """Compiles `(state, key, points, indices, z) -> (state, records)`; indices `[records, every, 1, batch]`."""

    def one(state, key, points, index):
        step_key = jax.random.fold_in(key, state.step)
        batch = Batch(points[index], index)
        return run.algorithm.update(state, batch, step_key)[0], moves.nth(batch, 0), step_key

    def chunk(state, indices, key, points, z):
        def body(carry, index):
            return (one(carry[0], key, points, index)[0], carry[0]), None

        (after, before), _ = jax.lax.scan(body, (state, state), indices)
        records = measure_samples(run, before, after, z)
        if measure_all:
            index = indices[-1, 0]
            batch = Batch(points[index], index)
            records |= measure_step(run, before, after, batch, jax.random.fold_in(key, before.step))
        return after, {"step": after.step, **records}

    @jax.jit
    def continue_from(state, key, points, indices, z):
        return jax.lax.scan(functools.partial(chunk, key=key, points=points, z=z), state, indices)

    return continue_from


def _indices(run, start, stop, every):
    size = run.config.training.batch_size
    order = {"seed": run.config.seed, "batch_size": size, "batches_per_update": 1, "rows": slice(0, size)}
    indices = pipeline.step_indices(run.source.num_examples, start, stop, **order).astype(np.int32)
    return indices.reshape(-1, every, 1, size)


def continued(continue_from, run: Run, seed: int, state: GANState, num_steps: int, every: int):
    """The state after so many further steps, and the records as arrays by name."""
    with run.config.unlocked():
        run.config.seed = seed
    source = builders.source(run.config)
    points = jnp.asarray(source.fetch(np.arange(source.num_examples)))
    start, key = int(state.step), jax.random.key(seed)
    z = run.game.latent.sample(state.latent, jax.random.fold_in(key, 2**31 - 2), _NUM_SAMPLES)
    state, records = continue_from(state, key, points, _indices(run, start, start + num_steps, every), z)
    return state, jax.tree.map(np.asarray, records)


def first_state(run: Run, seed: int) -> GANState:
    """The state before the first step, as a training run of that seed has it."""
    example = np.zeros(run.source.example_shape, np.float32)
    return jax.jit(run.algorithm.init)(jax.random.fold_in(jax.random.key(seed), 2**31 - 1), example)


def start_states(seeds, num_steps: int, folder: pathlib.Path | None, small: bool = False) -> dict[int, GANState]:
    """States after so many steps by seed, from the folder where it has them."""
    run, states = open_run("", {}, small), {}
    continue_from = make_continue(run, num_steps, measure_all=False)
    for seed in seeds:
        state, file = first_state(run, seed), folder and folder / f"{seed}_{num_steps}.msgpack"
        if file and file.exists():
            states[seed] = serialization.from_bytes(state, file.read_bytes())
            continue
        begin = time.perf_counter()
        states[seed], records = continued(continue_from, run, seed, state, num_steps, num_steps)
        _say(f"seed {seed}: {records['near'][-1]:.3f} near at {num_steps}, {time.perf_counter() - begin:.0f} s")
        if file:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(serialization.to_bytes(states[seed]))
    return states


def _say(text):
    print(text, file=sys.stderr, flush=True)


# Settings


def setting_rows(name: str, states: Mapping[int, GANState], options, small: bool = False):
    """Yields a row for each seed: what the samples do when training goes on from its state with one of `SETTINGS`."""
    run = open_run(*SETTINGS[name], small)
    continue_from = make_continue(run, options.every, measure_all=False)
    for seed, state in states.items():
        begin = time.perf_counter()
        state = state.replace(hyperparameters=first_state(run, seed).hyperparameters)
        _, records = continued(continue_from, run, seed, state, options.steps, options.every)
        late = {key: values[options.settle // options.every :] for key, values in records.items()}
        yield {"setting": name, "seed": seed, "steps": options.steps - options.settle, **_row(late, options.every)}
        _say(f"{name}, seed {seed}: {late['near'].mean():.3f} near, {time.perf_counter() - begin:.0f} s")


def _row(records, every):
    others = {name: float(np.median(records[name])) for name in ("way", "offset", "width")}
    average = records["average_near"]
    averages = {"average_mean": float(average.mean()), "average_least": float(average.min())}
    return {**swing_tables.summarize(records["near"], every), **others, **averages}


def main() -> None:
    """Measures, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1))
    parser.add_argument("--start", type=int, default=20_000, help="steps before the settings differ")
    parser.add_argument("--steps", type=int, default=1_500, help="steps from there")
    parser.add_argument("--settle", type=int, default=500, help="steps of these that do not count")
    parser.add_argument("--every", type=int, default=5, help="steps between records of a setting")
    parser.add_argument("--settings", nargs="+", default=tuple(SETTINGS), choices=tuple(SETTINGS), metavar="NAME")
    parser.add_argument("--states", type=pathlib.Path, help="folder that keeps states and records")
    parser.add_argument(
        "--output", type=pathlib.Path, help="CSV file of a row per setting and seed; rows in it are kept"
    )
    parser.add_argument("--figure", type=pathlib.Path, help="PNG file")
    options = parser.parse_args()
    process.tune_for_cpu(1)
    states = start_states(options.seeds, options.start, options.states)
    print("\n".join([*swing_tables.setting_table(all_rows(states, options)), ""]), flush=True)
    runs = all_records(states, options)
    print("\n".join([*swing_tables.record_table(runs), "", *swing_tables.surprise_lines(runs)]))
    if options.figure:
        swing_tables.draw(runs[0], options.figure)


def all_rows(states: Mapping[int, GANState], options) -> list[dict]:
    """Rows of all settings and seeds, with those that the file has."""
    rows = []
    if options.output and options.output.exists():
        with options.output.open(newline="") as file:
            rows = list(csv.DictReader(file))
    for name in options.settings:
        done = {int(row["seed"]) for row in rows if row["setting"] == name}
        for row in setting_rows(name, {seed: states[seed] for seed in states if seed not in done}, options):
            rows.append({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})
            if options.output:
                with options.output.open("w", newline="") as file:
                    writer = csv.DictWriter(file, rows[-1], lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
    order = list(SETTINGS)
    return sorted(rows, key=lambda row: (order.index(row["setting"]), int(row["seed"])))


def all_records(states: Mapping[int, GANState], options) -> list[dict[str, np.ndarray]]:
    """All numbers of each step of a run per seed, as it is, with those that the folder has."""
    run, runs = open_run(*SETTINGS["as it is"]), []
    continue_from = make_continue(run, 1, measure_all=True)
    for seed, state in states.items():
        file = options.states and options.states / f"records_{seed}_{options.start}_{options.steps}.npz"
        if file and file.exists():
            runs.append(dict(np.load(file)))
            continue
        begin = time.perf_counter()
        runs.append(continued(continue_from, run, seed, state, options.steps, 1)[1])
        _say(f"records of seed {seed}: {time.perf_counter() - begin:.0f} s")
        if file:
            np.savez(file, **runs[-1])
    return runs


if __name__ == "__main__":
    main()
