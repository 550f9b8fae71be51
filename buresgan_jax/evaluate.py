"""Samples, pictures and metrics of a generator."""

import contextlib
from collections.abc import Callable

import jax
import numpy as np
from etils import epath

from buresgan_jax import build, pictures, writers
from buresgan_jax.checkpoint import Checkpointer
from buresgan_jax.errors import UserError

Sampler = Callable[..., np.ndarray]
_SAMPLE_BATCH = 256


def make_sampler(algorithm) -> Sampler:
    """`(state, key, n, *, ema) -> samples [n, ...]` on the host, drawn in batches of one compiled size."""

    def draw(state, key, index, ema):
        return algorithm.sample(state, jax.random.fold_in(key, index), _SAMPLE_BATCH, ema=ema)

    draw = jax.jit(draw, static_argnames="ema")

    def sample(state, key, n, *, ema=True):
        batches = [np.asarray(draw(state, key, index, ema)) for index in range(-(-n // _SAMPLE_BATCH))]
        return np.concatenate(batches)[:n]

    return sample


def evaluate(config, metric, sampler: Sampler, state, key) -> dict[str, float]:
    """Metrics of the averaged (`ema_...`) and the raw generator; empty where `metric` is None (`build.evaluation`)."""
    if metric is None:
        return {}
    values = {}
    for prefix, ema in (("", False), ("ema_", True)):
        samples = sampler(state, key, config.evaluation.num_samples, ema=ema)
        if not np.isfinite(samples).all():
            values |= {f"{prefix}non_finite_samples": int((~np.isfinite(samples)).any(-1).sum())}
            continue
        values |= {f"{prefix}{name}": value for name, value in metric(samples).items()}
    return values


def draw_picture(config, path: epath.PathLike, samples: np.ndarray, title: str) -> None:
    """A scatter over the true modes for points, a grid for images, as PNG."""
    if build.is_mixture(config):
        truth = build.mixture(config)
        pictures.scatter(path, samples, means=truth.means, std=truth.std, title=title)
    else:
        pictures.save_png(path, pictures.image_grid(samples))


# A finished or running workdir


def load(workdir: epath.PathLike):
    """Config, algorithm and newest good state of a workdir; needs no data set, writes nothing."""
    workdir = epath.Path(workdir)
    file = workdir / "config.json"
    if not file.exists():
        raise UserError(f"{workdir} holds no run: {file} does not exist. Give the --workdir of a training run.")
    config = writers.read_config(workdir)
    algorithm = build.algorithm(config)
    like = jax.eval_shape(algorithm.init, jax.random.key(0), np.zeros(build.example_shape(config), np.float32))
    with contextlib.closing(Checkpointer(workdir, read_only=True)) as checkpointer:
        restored = checkpointer.restore({"state": like})
    if restored is None:
        raise UserError(f"{workdir} has no checkpoint yet. Train first, or wait for the first one.")
    return config, algorithm, restored[1]["state"]


def run_evaluation(workdir: epath.PathLike, *, seed: int = 0) -> dict[str, float]:
    """Metrics of the newest checkpoint of a workdir."""
    config, algorithm, state = load(workdir)
    metric = build.evaluation(config, workdir)
    values = evaluate(config, metric, make_sampler(algorithm), state, jax.random.key(seed))
    if not values:
        raise UserError(
            f"There is no metric for the data set {config.data.name!r} yet; ring, grid, their unbalanced forms and "
            "stacked_mnist have some. Look at samples instead: --mode=sample."
        )
    return {"step": int(state.step), "num_samples": config.evaluation.num_samples, "seed": seed, **values}


def run_sampling(workdir: epath.PathLike, out: epath.PathLike, *, num_samples: int, seed: int = 0, ema: bool = True):
    """Writes samples of the newest checkpoint.

    Args:
        workdir: of the run.
        out: `x.png` (one picture: a grid, or a scatter for points), `x.npz` (array `samples`, images as uint8), or a
            folder for one PNG per image.
        num_samples: how many.
        seed: of the latent draws.
        ema: averaged or raw generator.
    """
    out = epath.Path(out)
    if num_samples < 1:
        raise UserError(f"--num_samples must be at least 1, got {num_samples}.")
    if out.suffix not in ("", ".png", ".npz"):
        raise UserError(f"--out must be a .png file, an .npz file or a folder (no suffix), got {str(out)!r}.")
    config, algorithm, state = load(workdir)
    samples = make_sampler(algorithm)(state, jax.random.key(seed), num_samples, ema=ema)
    try:
        _write_samples(config, samples, out, title=f"{config.method}, step {int(state.step)}")
    except OSError as error:
        raise UserError(f"Cannot write samples to {out}: {error}.") from error


def _write_samples(config, samples, out, *, title):
    is_points = build.is_mixture(config)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".png":
        draw_picture(config, out, samples, title)
    elif out.suffix == ".npz":
        with out.open("wb") as file:
            np.savez_compressed(file, samples=samples if is_points else pictures.to_uint8(samples))
    elif is_points:
        raise UserError(f"Points cannot be written as one PNG each. Give --out=x.png or --out=x.npz, got {str(out)!r}.")
    else:
        out.mkdir(exist_ok=True)
        for number, image in enumerate(pictures.to_uint8(samples)):
            pictures.save_png(out / f"{number:05d}.png", image)
