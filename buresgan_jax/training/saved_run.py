"""Samples, pictures and metrics of a generator."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import tqdm
from etils import epath

from buresgan_jax import builders
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import image_metrics, pictures
from buresgan_jax.training import best_checkpoint
from buresgan_jax.training.checkpoint import Checkpointer
from buresgan_jax.training.workdir import add_evaluation, read_config, read_evaluations

Sampler = Callable[..., np.ndarray]
_SAMPLE_BATCH = 256
# Keys of config.evaluation by which documents in evaluation.json are told apart, beside step, number and seed.
_OPTIONS = (*builders.OF_ALL_METRICS, *builders.OF_SOME_METRICS)
NEWEST, BEST, ALL = "newest", "best", "all"


def make_sampler(algorithm) -> Sampler:
    """`(state, key, n, *, ema) -> samples [n, ...]` on the host, drawn in batches of one compiled size."""

    def draw(state, key, index, ema):
        return algorithm.sample(state, jax.random.fold_in(key, index), _SAMPLE_BATCH, ema=ema)

    draw = jax.jit(draw, static_argnames="ema")

    def sample(state, key, n, *, ema=True):
        # Silent for the first seconds, and where nobody watches.
        options = {"desc": "samples", "unit": "batch", "delay": 2, "leave": False, "disable": None}
        numbers = tqdm.trange(-(-n // _SAMPLE_BATCH), **options)
        batches = [np.asarray(draw(state, key, index, ema)) for index in numbers]
        return np.concatenate(batches)[:n]

    return sample


def evaluate(config, metric, sampler: Sampler, state, key) -> dict[str, float]:
    """Metrics of the averaged (`ema_...`) and the raw generator; empty where `metric` is None (`build.evaluation`)."""
    if metric is None:
        return {}
    values = {}
    for prefix, ema in (("", False), ("ema_", True)):
        samples = sampler(state, key, config.evaluation.num_samples, ema=ema)
        if bad := _num_not_finite(samples):
            values |= {f"{prefix}non_finite_samples": bad}
            continue
        values |= {f"{prefix}{name}": value for name, value in metric(samples).items()}
    return values


def _num_not_finite(samples):
    return int((~np.isfinite(samples)).reshape(len(samples), -1).any(1).sum())


def evaluate_images(config, metrics, sampler: Sampler, state, key, *, ema: bool) -> dict[str, dict[str, Any]]:
    """Metrics of images, with how they were made, of the averaged (`ema_...`) or the raw generator.

    Args:
        config: of the run.
        metrics: `build.image_evaluation`; None: there are none.
        sampler: of this run.
        state: of the networks.
        key: of the latent draws.
        ema: averaged or raw generator.
    """
    if metrics is None:
        return {}
    prefix = "ema_" if ema else ""
    samples = sampler(state, key, config.evaluation.num_samples, ema=ema)
    if bad := _num_not_finite(samples):
        return {f"{prefix}non_finite_samples": {"value": bad, "n_fake": len(samples)}}
    images = pictures.to_uint8(samples)
    batches = [images[start : start + _SAMPLE_BATCH] for start in range(0, len(images), _SAMPLE_BATCH)]
    return {f"{prefix}{name}": entry for name, entry in metrics(batches, "generated images").items()}


def draw_picture(config, path: epath.PathLike, samples: np.ndarray, title: str) -> None:
    """A scatter over the true modes for points, a grid for images, as PNG."""
    if builders.is_mixture(config):
        truth = builders.mixture(config)
        pictures.scatter(path, samples, means=truth.means, std=truth.std, title=title)
    else:
        pictures.save_png(path, pictures.image_grid(samples))


# A finished or running workdir


class OpenRun:
    """A workdir; it needs no data set and writes nothing, so a training may be running there.

    Attributes:
        workdir: the folder.
        config: of the run.
        algorithm: initial state, samples.
    """

    def __init__(self, workdir: epath.PathLike):
        """Reads the config."""
        self.workdir = epath.Path(workdir)
        file = self.workdir / "config.json"
        if not file.exists():
            raise UserError(f"{workdir} holds no run: {file} does not exist. Give the --workdir of a training run.")
        self.config = read_config(self.workdir)
        self.algorithm = builders.algorithm(self.config)

    def states(self, checkpoint: str | int = NEWEST) -> Iterator[Any]:
        """States of one or all checkpoints.

        Args:
            checkpoint: `newest` (that is good), `best` (see `best_checkpoint.py`), `all`, or a step.

        Raises:
            UserError: there is no such checkpoint, or it is damaged.
        """
        is_best, steps = checkpoint == BEST, None
        if not is_best and checkpoint not in (NEWEST, ALL) and not str(checkpoint).isdigit():
            raise UserError(f"--checkpoint must be {NEWEST}, {BEST}, {ALL} or a step, got {checkpoint!r}.")
        if is_best or str(checkpoint).isdigit():
            steps = [best_checkpoint.best_step(self.workdir) if is_best else int(checkpoint)]
        example = np.zeros(builders.example_shape(self.config), np.float32)
        like = {"state": jax.eval_shape(self.algorithm.init, jax.random.key(0), example)}
        options = {"folder": best_checkpoint.FOLDER} if is_best else {}
        with contextlib.closing(Checkpointer(self.workdir, read_only=True, **options)) as checkpointer:
            if checkpoint == ALL:
                steps = checkpointer.steps()
            if steps is None and (restored := checkpointer.restore(like)):
                yield restored[1]["state"]
                return
            if not steps:
                raise UserError(f"{self.workdir} has no checkpoint yet. Train first, or wait for the first one.")
            for step in steps:
                yield checkpointer.restore_step(step, like)["state"]


def load(workdir: epath.PathLike, checkpoint: str | int = NEWEST):
    """Config, algorithm and one state of a finished or running workdir."""
    if checkpoint == ALL:
        raise UserError(f"--checkpoint={ALL} is for --mode=evaluate. Give one: {NEWEST}, {BEST} or a step.")
    opened = OpenRun(workdir)
    (state,) = opened.states(checkpoint)
    return opened.config, opened.algorithm, state


def run_evaluation(
    workdir: epath.PathLike,
    *,
    seed: int = 0,
    checkpoint: str | int = NEWEST,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, float]]:
    """Metrics of checkpoints of a workdir, one after the other, of the averaged and the raw generator.

    They are also added to `evaluation.json` in the workdir, each with how it was made, and shown as a table on standard
    error.

    Args:
        workdir: of the run.
        seed: of the latent draws.
        checkpoint: see `OpenRun.states`.
        changes: other values of keys of the config's `evaluation`, by name.
    """
    opened = OpenRun(workdir)
    config, key = opened.config, jax.random.key(seed)
    changes = dict(changes or {})
    if changes.get("extractor", config.evaluation.extractor) != config.evaluation.extractor:
        for name in ("weights", "resizer"):  # the run's are another extractor's
            changes.setdefault(name, None)
    config.evaluation.update(changes)
    metric, images, sampler = builders.evaluation(config, workdir), None, make_sampler(opened.algorithm)
    if metric is None and not config.evaluation.metrics:
        raise UserError(
            f"There is no metric for the data set {config.data.name!r} by itself. Name some, such as "
            "--metrics=kernel_distance, or look at samples: --mode=sample."
        )
    read_evaluations(opened.workdir)  # a damaged file is known before, not after
    made_by = {name: config.evaluation[name] for name in _OPTIONS}
    for state in opened.states(checkpoint):
        images = images or builders.image_evaluation(config)
        facts = {"step": int(state.step), "num_samples": config.evaluation.num_samples, "seed": seed}
        about = {"n_fake": config.evaluation.num_samples, **builders.about_evaluation(config)}
        values = evaluate(config, metric, sampler, state, key)
        entries = {name: {"value": value, **about} for name, value in values.items()}
        for ema in (False, True):
            entries |= evaluate_images(config, images, sampler, state, key, ema=ema)
        print(f"step {facts['step']}\n{image_metrics.table(entries)}", file=sys.stderr, flush=True)
        add_evaluation({**facts, **(made_by if images else {})}, entries, opened.workdir)
        yield {**facts, **{name: entry["value"] for name, entry in entries.items()}}


def run_sampling(
    workdir: epath.PathLike,
    out: epath.PathLike,
    *,
    num_samples: int,
    seed: int = 0,
    ema: bool = True,
    checkpoint: str | int = NEWEST,
) -> None:
    """Writes samples of a checkpoint.

    Args:
        workdir: of the run.
        out: `x.png` (one picture: a grid, or a scatter for points), `x.npz` (array `samples`, images as uint8), or a
            folder for one PNG per image.
        num_samples: how many.
        seed: of the latent draws.
        ema: averaged or raw generator.
        checkpoint: see `OpenRun.states`, one.
    """
    out = epath.Path(out)
    if num_samples < 1:
        raise UserError(f"--num_samples must be at least 1, got {num_samples}.")
    if out.suffix not in ("", ".png", ".npz"):
        raise UserError(f"--out must be a .png file, an .npz file or a folder (no suffix), got {str(out)!r}.")
    config, algorithm, state = load(workdir, checkpoint)
    samples = make_sampler(algorithm)(state, jax.random.key(seed), num_samples, ema=ema)
    try:
        _write_samples(config, samples, out, title=f"{config.method}, step {int(state.step)}")
    except OSError as error:
        raise UserError(f"Cannot write samples to {out}: {error}.") from error


def _write_samples(config, samples, out, *, title):
    is_points = builders.is_mixture(config)
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
