"""Recording of a run: checkpoints, metrics, evaluations, pictures and results.

A recorder knows neither devices nor how steps are computed: states come in as NumPy arrays.
"""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath

from buresgan_jax import data
from buresgan_jax.errors import one_line
from buresgan_jax.evaluation.evaluators import evaluate
from buresgan_jax.training.best_checkpoint import BestCheckpoint
from buresgan_jax.training.checkpoint import Checkpointer
from buresgan_jax.training.latent_drawing import draw_latent
from buresgan_jax.training.metric_writer import MetricWriter
from buresgan_jax.training.run import OpenedRun
from buresgan_jax.training.sampling import draw_picture, make_log_ratio, make_sampler
from buresgan_jax.training.workdir import FINAL, RUN_FACTS, read_final, save_final

_NUM_DRAWN = 64  # images in a picture


class DivergedError(RuntimeError):
    """A loss or a parameter is not finite."""


class Recorder:
    """Writes what a run produces into its workdir. Every process calls it; process 0 writes.

    Attributes:
        config: The resolved config.
        workdir: The run's directory.
        start: The step at which training begins.
        num_examples: Number of training examples; None: endless.
        is_of_images: Whether the examples are images.
        is_writer: Whether this process writes.
        evaluated: The numbers of the last evaluation.
        evaluation_error: Why the last evaluation that failed did so; None if none did.
        final: The results of the run, once it has ended.
    """

    def __init__(
        self, opened: OpenedRun, checkpointer: Checkpointer, lock: contextlib.ExitStack, best: Mapping[str, Any]
    ):
        """Opens the files of metrics and the best checkpoint.

        Args:
            opened: The run.
            checkpointer: Checkpoints of the run.
            lock: The lock on the workdir, which `close` releases.
            best: How the best checkpoint is chosen, as `BestCheckpoint` takes it; empty where this process does not
                decide.
        """
        self.config, self.workdir, self.start = opened.config, opened.workdir, opened.start
        self.is_writer, self._description = opened.is_writer, opened.description
        self.num_examples, self.is_of_images = opened.num_examples, opened.description.kind == "images"
        self._key, self._evaluators, self._algorithm = opened.key, opened.evaluators, opened.algorithm
        self._sampler, self._log_ratio = make_sampler(opened.algorithm), make_log_ratio(opened.algorithm)
        self._checkpointer, self._lock, self._saved_step = checkpointer, lock, opened.start
        self.evaluated, self.evaluation_error, self.final = {}, None, {}
        self._has_failed = False  # whether the last evaluation did
        self._best, best_by = None, self.config.evaluation.best_by
        if best_by is not None:
            self._best = BestCheckpoint(self.workdir, best_by, **best)
        self._writer = MetricWriter(self.workdir, start_step=self.start) if self.is_writer else None

    def check_finite(self, tracker) -> None:
        """Raises DivergedError if any metric so far was not finite."""
        bad = {name: int(step) for name, step in tracker.first_bad.items() if step}
        if bad:
            step = min(bad.values())
            names = ", ".join(sorted(name for name in bad if bad[name] == step))
            raise DivergedError(self._diverged(f"step {step}: {names} is not finite"))

    def _diverged(self, what):
        last = "No checkpoint was saved yet"
        if self._saved_step:
            last = f"The last good checkpoint is step {self._saved_step}"
        return f"{what}. {last} ({self.workdir}). Try smaller learning rates or a smaller penalty weight."

    def save(self, step: int, state, tracker) -> None:
        """Saves the state, unless it is not finite."""
        self.check_finite(tracker)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
                raise DivergedError(self._diverged(f"step {step}: state{jax.tree_util.keystr(path)} is not finite"))
        self._checkpointer.save(step, {"state": state, "tracker": tracker})
        self._saved_step = step

    def log(self, step: int, tracker) -> dict[str, float]:
        """Writes and returns the means of the metrics since the last log."""
        self.check_finite(tracker)
        values = {name: float(total) / int(tracker.count) for name, total in tracker.sums.items()}
        if self.is_writer:
            self._writer.write(step, "train", values)
        return values

    def evaluate(self, step: int, state, *, write: bool = True) -> dict[str, float]:
        """Computes, writes and returns the numbers of the evaluators, and keeps the state if it is the best.

        A failure is noted, with a warning, and training goes on: the checkpoints can be evaluated later.
        """
        values = self._compute_metrics(step, state) if self.is_writer else {}
        if values and write:
            self._writer.write(step, "eval", values)
        if self._best and write:
            self._best.offer(step, values, state)
        return values

    def _compute_metrics(self, step, state):
        key = jax.random.fold_in(self._key, 2**31 - 2)
        draw = functools.partial(self._sampler, state, key, self.config.evaluation.num_samples)
        log_ratio = self._log_ratio and functools.partial(self._log_ratio, state)
        self.evaluated, self._has_failed = {}, False
        try:
            for name, entry in evaluate(self._evaluators, draw, log_ratio, in_training=True):
                if entry["value"] is None:
                    logging.warning("At step %d %s is undefined: %s", step, name, entry["undefined"])
                else:
                    self.evaluated[name] = entry["value"]
        except (OSError, ValueError, MemoryError, jax.errors.JaxRuntimeError) as error:  # the device's memory too
            message = one_line(error)
            self.evaluation_error, self._has_failed = f"at step {step}: {message}".rstrip("."), True
            logging.warning("The evaluation failed %s.", self.evaluation_error)
        return self.evaluated

    def draw(self, step: int, state) -> epath.Path | None:
        """Writes a picture of samples, always of the same z, as PNG and for TensorBoard; returns the file's path.

        At the last step, it writes the pictures of the latent space too.
        """
        if not self.is_writer:
            return None
        key, title = jax.random.fold_in(self._key, 2**31 - 3), f"{self.config.method}, step {step}"
        if step == self.config.training.num_steps:
            folder, algorithm = self.workdir / "samples", self._algorithm
            for name, path in draw_latent(folder, algorithm, state, key, self._description, title=title).items():
                self._writer.write_picture(step, path, name)
        samples = self._sampler(state, key, self._num_drawn, ema=True)
        return self._write_picture(step, "samples", samples, f"step_{step:08d}.png", title)

    def draw_real(self, source: data.Source) -> None:
        """Writes a picture of random examples of the data, unless pictures show the data's modes anyway."""
        if not self.is_writer or self._description.mixture is not None:
            return
        index = np.arange(self._num_drawn)
        if (n := source.num_examples) is not None:
            index = np.random.default_rng(self.config.seed).choice(n, min(n, self._num_drawn), replace=False)
        examples = np.asarray(source.decode(jnp.asarray(source.fetch(index))))
        self._write_picture(0, "real", examples, "real.png", f"{source.name}: examples")

    @property
    def _num_drawn(self):
        return _NUM_DRAWN if self.is_of_images else self.config.evaluation.num_samples

    def _write_picture(self, step, name, samples, file, title):
        path = self.workdir / "samples" / file
        draw_picture(path, samples, self._description, title=title)
        self._writer.write_picture(step, path, name)
        return path

    def finish(self, values: Mapping[str, Any], *, write: bool) -> None:
        """Notes these values and the last evaluation as the results, and writes them to `final.json`.

        A run that had ended before keeps its times; one whose last evaluation failed has no `final.json`.
        """
        old = read_final(self.workdir)
        if not write and old.get("step") == values["step"]:
            values = {name: old[name] for name in RUN_FACTS if name in old}
        self.final = {**values, **self.evaluated}
        if self.is_writer and self._has_failed:
            (self.workdir / FINAL).unlink(missing_ok=True)
        elif self.is_writer:
            save_final(self.final, self.workdir)

    def close(self) -> None:
        """Waits until everything is written, and releases the lock."""
        with self._lock, contextlib.ExitStack() as stack:
            for each in filter(None, (self._writer, self._best, self._checkpointer)):  # the last one is closed first
                stack.callback(each.close)
