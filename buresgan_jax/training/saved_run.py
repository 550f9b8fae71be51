"""A finished or running workdir: its states, evaluations of them, and samples from them."""

import contextlib
import functools
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from absl import logging
from etils import epath

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import tables
from buresgan_jax.evaluation.evaluators import evaluate
from buresgan_jax.runtime.paths import user_path
from buresgan_jax.training import best_checkpoint, devices, memory, sample_files
from buresgan_jax.training.checkpoint import Checkpointer
from buresgan_jax.training.sampling import make_batches, make_log_ratio, make_sampler
from buresgan_jax.training.workdir import add_evaluation, check_same_run, read_config, read_evaluations

NEWEST, BEST, ALL = "newest", "best", "all"


class SavedRun:
    """Reads a workdir. It needs no data set and writes nothing, so a training may be running there.

    Attributes:
        workdir: The run's directory.
        config: The run's config.
        algorithm: The algorithm, built for one device.
    """

    def __init__(self, workdir: epath.PathLike):
        """Reads the config."""
        self.workdir = user_path(workdir, "workdir")
        file = self.workdir / "config.json"
        if not file.exists():
            raise UserError(f"{workdir} holds no run: {file} does not exist. Give the --workdir of a training run.")
        self.config = read_config(self.workdir)
        self.algorithm = builders.algorithm(self.config)

    def states(self, checkpoint: str | int = NEWEST) -> Iterator[Any]:
        """Restores one or all checkpoints.

        Args:
            checkpoint: `newest` (the newest one that is not damaged), `best` (see `best_checkpoint.py`), `all`, or a
                step.

        Yields:
            The states.

        Raises:
            UserError: There is no such checkpoint, or it is damaged.
        """
        is_best, steps = checkpoint == BEST, None
        is_step = re.fullmatch("[0-9]{1,18}", str(checkpoint)) is not None
        if not is_best and checkpoint not in (NEWEST, ALL) and not is_step:
            raise UserError(f"--checkpoint must be {NEWEST}, {BEST}, {ALL} or a step, got {checkpoint!r}.")
        if is_best or is_step:
            steps = [best_checkpoint.best_step(self.workdir) if is_best else int(checkpoint)]
        like = {"state": devices.state_like(self.algorithm, builders.describe(self.config).example_shape)}
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

    def state(self, checkpoint: str | int = NEWEST) -> Any:
        """Restores one checkpoint; see `states`."""
        if checkpoint == ALL:
            raise UserError(f"--checkpoint={ALL} is for --mode=evaluate. Give one: {NEWEST}, {BEST} or a step.")
        (state,) = self.states(checkpoint)
        return state


def load(workdir: epath.PathLike, checkpoint: str | int = NEWEST):
    """Loads config, algorithm and one state of a finished or running workdir."""
    saved = SavedRun(workdir)
    return saved.config, saved.algorithm, saved.state(checkpoint)


def changes_of_run(config, overrides: Mapping[str, Any], workdir: epath.PathLike) -> dict[str, Any]:
    """Checks that a config given beside a workdir is that of its run.

    Args:
        config: The resolved config.
        overrides: The keys that the command line overrides in it, with their values.
        workdir: The run's directory.

    Returns:
        The overrides that evaluation or sampling may use: those of free keys.

    Raises:
        UserError: The workdir holds no run, or one whose config differs in another key.
    """
    saved = SavedRun(workdir)
    check_same_run(config, saved.workdir)
    free = config_lib.free_keys(config)
    return {key: value for key, value in overrides.items() if key in free}


def run_evaluation(
    workdir: epath.PathLike,
    *,
    seed: int = 0,
    checkpoint: str | int = NEWEST,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, float]]:
    """Evaluates the averaged and the raw generator of checkpoints, one after the other.

    The numbers are also added to `evaluation.json` in the workdir, each with how it was made, and shown as a table on
    standard error. A workdir that cannot be written is evaluated too: a warning says that nothing was stored.

    Args:
        workdir: The run's directory.
        seed: Seed of the latent draws.
        checkpoint: The checkpoints to evaluate, see `SavedRun.states`.
        changes: Other values of keys of the config that evaluation reads, such as `evaluation.metrics`, by key.

    Yields:
        The numbers of a checkpoint by name, with its step.
    """
    saved = SavedRun(workdir)
    config, key, sampler = saved.config, jax.random.key(seed), make_sampler(saved.algorithm)
    log_ratio_of = make_log_ratio(saved.algorithm)
    changes = dict(changes or {})
    if changes.get("evaluation.extractor", config.evaluation.extractor) != config.evaluation.extractor:
        for name in ("weights", "resizer"):  # the run's are another extractor's
            changes.setdefault(f"evaluation.{name}", None)
    config.update_from_flattened_dict(changes)
    config_lib.check(config)
    memory.check_evaluation(config)
    read_evaluations(saved.workdir)  # a damaged file is found before the work, not after it
    num_samples, evaluators = config.evaluation.num_samples, None
    for state in saved.states(checkpoint):
        evaluators = evaluators or _evaluators(config, saved.workdir)
        facts = {"step": int(state.step), "num_samples": num_samples, "seed": seed}
        log_ratio = log_ratio_of and functools.partial(log_ratio_of, state)
        entries = dict(evaluate(evaluators, functools.partial(sampler, state, key, num_samples), log_ratio))
        print(f"step {facts['step']}\n{tables.of_entries(entries)}", file=sys.stderr, flush=True)
        settings = {name: value for each in evaluators for name, value in each.settings.items()}
        try:
            add_evaluation({**facts, **settings}, entries, saved.workdir)
        except OSError as error:
            logging.warning("The numbers were not stored in %s: %s.", saved.workdir, error)
        yield {**facts, **{name: entry["value"] for name, entry in entries.items()}}


def _evaluators(config, workdir):
    evaluators = builders.evaluators(config, workdir=workdir)
    if not evaluators:
        raise UserError(
            f"There is no metric for the data set {config.data.name!r} by itself. Name some, such as "
            "--metrics=kernel_distance, or look at samples: --mode=sample."
        )
    return evaluators


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
        workdir: The run's directory.
        out: See `sample_files.check`.
        num_samples: How many samples.
        seed: Seed of the latent draws.
        ema: Whether the averaged generator makes them; otherwise the raw one.
        checkpoint: One checkpoint, see `SavedRun.states`.
    """
    out, saved = user_path(out, "--out"), SavedRun(workdir)
    description = builders.describe(saved.config)
    sample_files.check(out, num_samples, description)
    state = saved.state(checkpoint)
    batches = make_batches(saved.algorithm)(state, jax.random.key(seed), num_samples, ema=ema)
    try:
        sample_files.write(
            out, batches, num_samples, description, title=f"{saved.config.method}, step {int(state.step)}"
        )
    except OSError as error:
        raise UserError(f"Cannot write samples to {out}: {error}.") from error
