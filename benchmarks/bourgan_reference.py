"""BourGAN in its authors' setting of the grid: losses beside those that they print, and what each of its parts does.

    python benchmarks/bourgan_reference.py [--update=docs/results/bourgan.md]

The setting is that of the authors' notebook: 1,250 fixed points that are all embedded, networks with PyTorch's initial
weights, the sum of the discriminator's two losses, and moves in turn. What the library has otherwise is declared here:
data, networks and loss (docs/your_own.md). Prints Markdown; a quarter of an hour on one core.
"""

import argparse
import datetime
import functools
import pathlib
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from scipy.spatial import distance

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax import bourgain_embedding, builders, data, declarations, losses, metrics
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import Algorithm, Batch
from buresgan_jax.declarations import Option
from buresgan_jax.distances.embedding import MetricEmbedding, embedding_dim
from buresgan_jax.runtime import process

BATCH_SIZE = 128
NOISE = 0.01
WEIGHT = 0.1
MIXTURE = data.grid_mixture(std=0.1)
NUM_STEPS = 5_000
SHOWN = range(500, NUM_STEPS, 500)  # updates after which the authors print the losses of the next batch
LOSSES = {"generator": "generator", "real": "discriminator, real", "fake": "discriminator, fake"}

# Printed in the authors' notebook, of one run each. With the mixture: at the start, and the range of those at SHOWN.
PRINTED_START = {"generator": 2.739, "real": 0.641, "fake": 0.721}
PRINTED_LEVEL = {"generator": (0.744, 0.783), "real": (0.665, 0.731), "fake": (0.677, 0.728)}
# With normal z, by the number of updates.
PRINTED_NORMAL = {
    500: {"generator": 0.957, "real": 0.610, "fake": 0.662},
    4500: {"generator": 1.621, "real": 0.558, "fake": 0.345},
}


def _describe(**_):
    return data.Description((2,), MIXTURE, len(MIXTURE.means))


@declarations.data(
    "fixed_grid",
    "equally many fixed points of each mode of the grid, with std 0.1",
    Option("points_per_mode", 50, "points of each mode", least=1),
    describe=_describe,
    is_drawn=True,
)
def fixed_grid(*, seed: int, points_per_mode: int) -> data.Source:
    """The authors' data: as many points of each mode, drawn once."""
    modes = np.repeat(np.arange(len(MIXTURE.means)), points_per_mode)
    noise = np.random.default_rng(seed).normal(scale=MIXTURE.std, size=(len(modes), 2))
    points = (MIXTURE.means[modes] + noise).astype(np.float32)
    num_modes = len(MIXTURE.means)
    return data.Source(
        "fixed_grid", len(points), (2,), points.__getitem__, data.decode_points, modes.__getitem__, MIXTURE, num_modes
    )


def _layers(x: jax.Array, widths: Sequence[int]) -> jax.Array:
    """Dense layers with LeakyReLU of slope 0.1 after all but the last, with the initial weights of PyTorch."""
    for number, width in enumerate(widths):
        x = nn.leaky_relu(x, negative_slope=0.1) if number else x
        draw = functools.partial(_uniform, limit=x.shape[-1] ** -0.5)
        x = nn.Dense(width, kernel_init=draw, bias_init=draw)(x)
    return x


def _uniform(key, shape, dtype=jnp.float32, *, limit):
    return jax.random.uniform(key, shape, dtype, -limit, limit)


class Generator(nn.Module):
    """The authors' generator: 128, 128, 2."""

    @nn.compact
    def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
        """Maps z, `[batch, dim]`, to points, `[batch, 2]`."""
        return _layers(z, (128, 128, 2))


class Discriminator(nn.Module):
    """The authors' discriminator: 128, 128, logits."""

    output_dim: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Maps points to logits, and to features, which nothing here uses."""
        return _layers(x, (128, 128, self.output_dim)), x, {}


@declarations.generator("leaky_generator", "the authors' generator", data="points")
def leaky_generator(example_shape, *, axis_name, dtype):
    """Builds the generator."""
    return Generator()


@declarations.discriminator("leaky_discriminator", "the authors' discriminator", data="points")
def leaky_discriminator(example_shape, *, axis_name, dtype, output_dim):
    """Builds the discriminator."""
    return Discriminator(output_dim)


@declarations.loss("summed", "cross entropies on logits, those of the discriminator summed")
def summed() -> losses.AdversarialLoss:
    """The authors' loss: twice the library's for the discriminator, the same for the generator."""

    def discriminator(real, fake):
        parts = {"real": jnp.mean(jax.nn.softplus(-real)), "fake": jnp.mean(jax.nn.softplus(fake))}
        return parts["real"] + parts["fake"], parts

    return losses.AdversarialLoss(discriminator, losses.non_saturating().generator)


class Method(NamedTuple):
    """One row of the ablation.

    Attributes:
        latent: What z is drawn from: `"mixture"` around the embedding, or `"normal"`.
        weight: Weight of the distance term.
        scale: Its scale: `"largest_root"` or `"geometric_mean"` of the embedding, or a number; None: each batch's best.
        redraw_empty: Whether empty subsets of the embedding are drawn again, as in the library. Otherwise they leave
            coordinates that are always 0, as in the authors' code.
    """

    latent: str
    weight: float
    scale: str | float | None
    redraw_empty: bool = True


REFERENCE = Method("mixture", WEIGHT, "largest_root")
EXACT = REFERENCE._replace(redraw_empty=False)
NORMAL = Method("normal", WEIGHT, 0.89)  # the notebook's comparison: 25 dimensions, this scale, the term all the same
METHODS = (
    *(EXACT, REFERENCE, REFERENCE._replace(scale="geometric_mean"), REFERENCE._replace(weight=0.0)),
    *(NORMAL, NORMAL._replace(scale=None), NORMAL._replace(weight=0.0)),
)
OWN = ("fixed_grid", "leaky_generator", "leaky_discriminator", "summed")


def make_config(method: Method, points_per_mode: int = 50):
    """The config of a row: the library's method with the parts of this file."""
    first = "bourgan" if method.latent == "mixture" else "gan+latent_distance"
    config = config_lib.default("+".join([first, *(f"bourgan_reference:{name}" for name in OWN)]))
    settings = {
        "data.points_per_mode": points_per_mode,
        "algorithm.simultaneous": False,
        "latent.dim": 25,
        "latent_distance.weight": method.weight,
        "latent_distance.scale": None if method.latent == "mixture" else method.scale,
        "optimizer.eps": 1e-8,
        "training.batch_size": BATCH_SIZE,
    }
    if method.latent == "mixture":
        num_points = points_per_mode * len(MIXTURE.means)
        settings |= {"latent.num_points": num_points, "latent.dim": embedding_dim(num_points)}
        settings |= {"latent.noise": NOISE, "latent.distance_scale": method.scale}
    config.update_from_flattened_dict(settings)
    return config_lib.finish(config)


def random_batches(num_examples: int, num_steps: int, seed: int) -> np.ndarray:
    """Numbers of the examples of each step, `[num_steps, batch]`, without repetition within a batch, as theirs."""
    order = np.random.default_rng([seed, 1]).random((num_steps, num_examples), np.float32)
    size = min(BATCH_SIZE, num_examples)
    return np.argpartition(order, size - 1, axis=1)[:, :size].astype(np.int32)


def make_run(algorithm: Algorithm) -> Callable:
    """A compiled function `(state, points, batches, key) -> (state, values of each step by name)`."""

    def run(state, points, batches, key):
        def step(state, inputs):
            number, index = inputs
            batch = Batch(points[index][None], index[None])
            return algorithm.update(state, batch, jax.random.fold_in(key, number))

        return jax.lax.scan(step, state, (jnp.arange(len(batches)), batches))

    return jax.jit(run)


class Result(NamedTuple):
    """One run.

    Attributes:
        losses: Values at each step before the player's update: those of `LOSSES`, and `distance`, the term without its
            weight. The generator's loss is the whole one, with the weighted term.
        last: Statistics of samples by the last parameters.
        averaged: Statistics of samples by the generator's moving average, which the authors do not have.
    """

    losses: Mapping[str, np.ndarray]
    last: metrics.ModeStatistics
    averaged: metrics.ModeStatistics


def train(
    method: Method,
    seeds: Sequence[int],
    *,
    num_steps: int = NUM_STEPS,
    points_per_mode: int = 50,
    num_samples: int = 2_500,
) -> list[Result]:
    """Trains a row with each seed, which decides data, embedding, initial weights, batches and z."""
    algorithm = builders.algorithm(make_config(method, points_per_mode))
    run, init, results = make_run(algorithm), jax.jit(algorithm.init), []
    for seed in seeds:
        source = fixed_grid(seed=seed, points_per_mode=points_per_mode)
        points = source.fetch(np.arange(source.num_examples))
        prepared = algorithm.prepare(source, seed)
        if not method.redraw_empty:
            prepared = _prepared(embed(seed, redraw_empty=False, points_per_mode=points_per_mode)[1])
        init_key, run_key, sample_key = jax.random.split(jax.random.key(seed), 3)
        state = init(init_key, points[0], prepared)
        state, found = run(state, points, random_batches(len(points), num_steps, seed), run_key)
        statistics = [
            metrics.mode_statistics(
                algorithm.sample(state, sample_key, num_samples, ema=ema), MIXTURE.means, MIXTURE.std
            )
            for ema in (False, True)
        ]
        results.append(Result(_losses(found, method.weight), *statistics))
        print(f"{_name(method)}, seed {seed}: {statistics[0]}", file=sys.stderr, flush=True)
    return results


def _losses(found, weight):
    total = found["generator_loss"] + weight * found["latent_distance"]
    each = {"generator": total, "real": found["real"], "fake": found["fake"], "distance": found["latent_distance"]}
    return jax.tree.map(np.asarray, each)


def _prepared(embedded: MetricEmbedding) -> dict:
    """What the method prepares, of an embedding that was made elsewhere."""
    arrays = {"centers": embedded.coordinates, "distance_scale": embedded.largest_root_ratio, "noise": NOISE}
    return {"latent": {name: np.asarray(each, np.float32) for name, each in arrays.items()}}


def embed(seed: int, *, redraw_empty: bool = True, points_per_mode: int = 50) -> tuple[np.ndarray, MetricEmbedding]:
    """The points of a seed and their embedding; without `redraw_empty`, empty subsets leave zeros, as the authors'."""
    points = fixed_grid(seed=seed, points_per_mode=points_per_mode).fetch(np.arange(25 * points_per_mode))
    return points, bourgain_embedding(points, redraw_empty=redraw_empty, seed=seed)


def floor(points: np.ndarray, embedded: MetricEmbedding, scale: float) -> float:
    """The distance term of a generator that maps each center to its own point: mean over all pairs of points."""
    logs = np.log(distance.pdist(points)) - np.log(scale * distance.pdist(embedded.coordinates))
    return float(np.mean(logs**2))


def start_losses(embeddings: Sequence[tuple[np.ndarray, MetricEmbedding]], seeds: Sequence[int]) -> np.ndarray:
    """The first losses of the generator, with an embedding and a seed of everything else for each."""
    points_per_mode = len(embeddings[0][0]) // 25
    algorithm = builders.algorithm(make_config(REFERENCE, points_per_mode))
    run, init, values = make_run(algorithm), jax.jit(algorithm.init), []
    for (points, embedded), seed in zip(embeddings, seeds, strict=True):
        init_key, run_key, _ = jax.random.split(jax.random.key(seed), 3)
        state = init(init_key, points[0], _prepared(embedded))
        _, found = run(state, points, random_batches(len(points), 1, seed), run_key)
        values.append(_losses(found, WEIGHT)["generator"][0])
    return np.asarray(values)


def loss_table(results: Mapping[Method, Sequence[Result]]) -> list[str]:
    """Losses of the authors' setting beside the printed ones."""
    lines = ["| loss | of | the authors' run | ours as theirs | ours |", "|---|---|---|---|---|"]
    for name, title in LOSSES.items():
        first, level, whole = [], [], []
        for method in (EXACT, REFERENCE):
            values = _of_runs(results[method], name)
            first.append(_mean_range(values[:, 0]))
            level.append(_mean_range(values[:, SHOWN]))
            whole.append(_mean_range(values[:, SHOWN[0] :].mean(1)))
        low, high = PRINTED_LEVEL[name]
        lines += [
            f"| {title} | the first batch | {PRINTED_START[name]:.3f} | {' | '.join(first)} |",
            f"| {title} | batches {SHOWN[0]} to {SHOWN[-1]} | {low:.3f} to {high:.3f} | {' | '.join(level)} |",
            f"| {title} | mean of a run, from {SHOWN[0]} on | - | {' | '.join(whole)} |",
        ]
    return lines


def normal_table(results: Sequence[Result]) -> list[str]:
    """Losses with normal z beside the printed ones."""
    lines = ["| loss | batch | the authors' run | ours |", "|---|---|---|---|"]
    for name, title in LOSSES.items():
        values = _of_runs(results, name)
        for step, printed in PRINTED_NORMAL.items():
            lines.append(f"| {title} | {step:,} | {printed[name]:.3f} | {_mean_range(values[:, step])} |")
    return lines


def _of_runs(results, name):
    """Losses of a name, `[runs, steps]`."""
    return np.stack([each.losses[name] for each in results])


def start_table(num_seeds: int, points_per_mode: int = 50) -> list[str]:
    """What the generator's first loss depends on."""
    seeds, zeros = range(num_seeds), [0] * num_seeds
    drawn, kept = (
        [embed(seed, redraw_empty=redraw, points_per_mode=points_per_mode) for seed in seeds]
        for redraw in (True, False)
    )
    rows = {
        "data, embedding, weights and batch": start_losses(drawn, seeds),
        "data and embedding": start_losses(drawn, zeros),
        "weights and batch": start_losses([drawn[0]] * num_seeds, seeds),
        "all, empty subsets left as zeros": start_losses(kept, seeds),
    }
    lines = [f"| what differs between {num_seeds} seeds | first loss, mean | std | range |", "|---|---|---|---|"]
    for name, values in rows.items():
        lines.append(f"| {name} | {values.mean():.3f} | {values.std():.3f} | {_range(values)} |")
    return lines + ["", *_floor_table({"drawn again": drawn, "left as zeros": kept})]


def _floor_table(embeddings):
    lines = ["| scale | empty subsets | scale's value | distance term | ln 2 + 0.1 term |", "|---|---|---|---|---|"]
    for rule, field in (("largest_root", "largest_root_ratio"), ("geometric_mean", "scale")):
        for empty, each in embeddings.items():
            scales = np.asarray([getattr(embedded, field) for _, embedded in each])
            floors = np.asarray([floor(*pair, scale) for pair, scale in zip(each, scales, strict=True)])
            cells = map(_mean_range, (scales, floors, np.log(2) + WEIGHT * floors))
            lines.append(f"| `{rule}` | {empty} | {' | '.join(cells)} |")
    return lines


def ablation_table(results: Mapping[Method, Sequence[Result]], num_perfect: int = 10) -> list[str]:
    """Statistics of the samples of each row, by the last parameters and by their average, and its last losses."""
    titles = ("z", "weight", "scale", "generator", "modes", "share within 3 std", "reverse KL", "spread")
    lines = [f"| {' | '.join([*titles, 'L_G', 'distance term'])} |", "|---" * 10 + "|"]
    for method, runs in results.items():
        level = [_mean_std(_of_runs(runs, name)[:, -1000:].mean(1)) for name in ("generator", "distance")]
        lines.append(f"| {_name(method)} | last | {_statistics([each.last for each in runs])} | {' | '.join(level)} |")
        lines.append(f"| {_name(method)} | averaged | {_statistics([each.averaged for each in runs])} | - | - |")
    perfect = [
        metrics.mode_statistics(data.held_out_points(MIXTURE, 2_500, seed=seed), MIXTURE.means, MIXTURE.std)
        for seed in range(num_perfect)
    ]
    return [*lines, f"| (perfect samples) | - | - | - | {_statistics(perfect)} | - | - |"]


def _statistics(found):
    """Cells of samples' statistics."""
    names = ("modes", "high_quality_share", "reverse_kl", "mode_spread")
    return " | ".join(_mean_std(np.asarray([getattr(each, name) for each in found], float)) for name in names)


def _name(method):
    scale = "each batch's best" if method.scale is None else method.scale
    scale = f"{scale}, empty subsets left" if not method.redraw_empty else scale
    return f"{method.latent} | {method.weight:g} | {scale if method.weight else '-'}"


def _range(values):
    return f"{values.min():.3f} to {values.max():.3f}"


def _mean_range(values):
    return f"{values.mean():.3f} ({_range(values)})"


def _mean_std(values):
    return f"{values.mean():.4g} ({values.std():.2g})"


def facts() -> list[str]:
    """Date, versions and device."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "flax", "optax", "numpy", "scipy"))
    return [f"{datetime.date.today()}, Python {platform.python_version()}, {versions}; {jax.default_backend()}."]


def main() -> None:
    """Trains, prints the tables, and puts them between the markers of a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="runs of each row")
    parser.add_argument("--embeddings", type=int, default=20, help="embeddings for the first loss and the floor")
    parser.add_argument(
        "--update", type=pathlib.Path, help="file with markers such as <!-- losses --> <!-- /losses -->"
    )
    options = parser.parse_args()
    process.tune_for_cpu(1)
    tables = {"facts": facts(), "start": start_table(options.embeddings)}
    results = {method: train(method, range(options.seeds)) for method in METHODS}
    tables |= {
        "losses": loss_table(results),
        "normal": normal_table(results[NORMAL]),
        "ablation": ablation_table(results),
    }
    for name, lines in tables.items():
        print(f"\n<!-- {name} -->\n", *lines, sep="\n")
    if options.update:
        text = options.update.read_text()
        for name, lines in tables.items():
            found = "\n".join(["", "", *lines, "", ""])
            marked = re.compile(rf"(?<=<!-- {name} -->).*?(?=<!-- /{name} -->)", re.S)
            text = marked.sub(lambda _, found=found: found, text)
        options.update.write_text(text)


if __name__ == "__main__":
    main()
