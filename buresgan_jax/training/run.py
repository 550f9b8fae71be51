"""One run of training as it lies on the disk: config, checkpoints, metrics, pictures.

It knows neither devices nor how steps are computed: what it writes of a state comes in as NumPy arrays.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from buresgan_jax import builders, data
from buresgan_jax import config as config_lib
from buresgan_jax.errors import UserError
from buresgan_jax.training import best_checkpoint, devices, saved_run
from buresgan_jax.training.best_checkpoint import BestCheckpoint
from buresgan_jax.training.checkpoint import Checkpointer
from buresgan_jax.training.metric_writer import MetricWriter
from buresgan_jax.training.workdir import (
    FINAL,
    RUN_FACTS,
    forget_results,
    lock_workdir,
    open_workdir,
    read_final,
    save_config,
    save_final,
)


class DivergedError(RuntimeError):
    """A loss or a parameter is not finite."""


class Run:
    """What is built from a config, and what is opened in its workdir.

    Attributes:
        config: the resolved config.
        workdir: of the run.
        algorithm: for one device: initial state, samples.
        feed: the training data, until the devices have taken it.
        key: from which the key of every step comes.
        start: the step at which training begins.
        state: the state at that step.
        tracker: metrics since the last log before that step.
        is_writer: whether this process writes (process 0 does).
        evaluated: the last evaluation.
        evaluation_error: why an evaluation failed, the last one that did; None if none did.
        final: what the run says of itself at its end.
    """

    def __init__(self, config, workdir, signals, *, rows, open_source=None, data_copies=1):
        """Opens the workdir, and restores its newest checkpoint or makes a new state.

        Args:
            config: the resolved config.
            workdir: of the run.
            signals: that may come while the data are opened.
            rows: this process's part of every global batch.
            open_source: opens the training data of a config, which runs side by side may share; None: `build.source`.
            data_copies: how many resident data sets share a device, this run's among them.
        """
        _check_numbers(config)
        self.config, self.is_writer = config, jax.process_index() == 0
        self.algorithm = builders.algorithm(config)
        self.key = jax.random.key(config.seed)
        with devices.raised_together():
            self.workdir = open_workdir(config, workdir, write=self.is_writer)
            # Before the workdir is bound to this config: a data set that is not there is the commonest mistake.
            self._open_data(signals, rows, open_source, devices.data_memory(data_copies))
            self._lock = lock_workdir(self.workdir) if self.is_writer else None
        try:
            self._open_workdir()
        except BaseException:
            self._unlock()
            raise

    def _open_workdir(self):
        config, options = self.config, self.config.training
        self._checkpointer = Checkpointer(
            self.workdir, keep=options.keep_checkpoints, keep_every_steps=options.keep_every_steps
        )
        self._saved_step, self.state, self.tracker = self._restore_or_init()
        self.start = self._saved_step or 0
        self._best = None
        with devices.raised_together():
            if self.is_writer and self._saved_step is None:  # what lies here is of another run
                forget_results(self.workdir, best_checkpoint.RECORD)
            if self.is_writer:
                save_config(config, self.workdir)
        if config.evaluation.best_by is not None:
            self._best = BestCheckpoint(self.workdir, config.evaluation.best_by, **self._best_choice)
        self._sampler = saved_run.make_sampler(self.algorithm)
        self.evaluated, self.evaluation_error, self.final = {}, None, {}
        self._has_failed = False  # whether the last evaluation did
        self._writer = MetricWriter(self.workdir, start_step=self.start) if self.is_writer else None

    def _open_data(self, signals, rows, open_source, memory):
        config = self.config
        with signals.interruptible():
            source = (open_source or builders.source)(config)
        self._images, self._best_choice, self._metric = None, {}, builders.evaluation(config, self.workdir)
        if self.is_writer:
            self._images = builders.image_evaluation(config, source, on_batch=signals.stop_before_first_step)
            if config.evaluation.best_by is not None:
                self._best_choice = builders.best_choice(config, self._images)
        with signals.interruptible():
            self.feed = data.make_feed(
                source,
                resident=config.data.resident,
                memory=memory,
                seed=config.seed,
                batch_size=config.training.batch_size,
                batches_per_update=self.algorithm.batches_per_update,
                rows=rows,
            )
        data.batch_indices(source.num_examples, seed=config.seed, batch_size=config.training.batch_size, batch_number=0)

    def _restore_or_init(self):
        example = np.zeros(builders.example_shape(self.config), np.float32)
        init_key = jax.random.fold_in(self.key, 2**31 - 1)  # apart from every step's key
        like = jax.eval_shape(self.algorithm.init, init_key, example)
        rows = (self.algorithm.batches_per_update, self.config.training.batch_size)
        real = jax.ShapeDtypeStruct((*rows, *example.shape), jnp.float32)
        tracker = devices.make_tracker(self.algorithm, like, real)
        restored = self._checkpointer.restore({"state": like, "tracker": tracker})
        if restored is None:
            return None, jax.jit(self.algorithm.init)(init_key, example), tracker
        step, items = restored
        return step, items["state"], items["tracker"]

    def check_finite(self, tracker):
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

    def save(self, step, state, tracker):
        """Saves the state, unless it is not finite."""
        self.check_finite(tracker)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
                raise DivergedError(self._diverged(f"step {step}: state{jax.tree_util.keystr(path)} is not finite"))
        self._checkpointer.save(step, {"state": state, "tracker": tracker})
        self._saved_step = step

    def log(self, step, tracker):
        """Writes and returns the means of the metrics since the last log."""
        self.check_finite(tracker)
        values = {name: float(total) / int(tracker.count) for name, total in tracker.sums.items()}
        if self.is_writer:
            self._writer.write(step, "train", values)
        return values

    def evaluate(self, step, state, *, write=True):
        """Computes, writes and returns the metrics of samples, and keeps the state if it is the best.

        What fails is noted, with a warning, and training goes on: the checkpoints can be evaluated later.
        """
        values = self._compute_metrics(step, state) if self.is_writer else {}
        if values and write:
            self._writer.write(step, "eval", values)
        if self._best and write:
            self._best.offer(step, values, state)
        return values

    def _compute_metrics(self, step, state):
        key = jax.random.fold_in(self.key, 2**31 - 2)
        self.evaluated, self._has_failed = {}, False
        try:
            self.evaluated = saved_run.evaluate(self.config, self._metric, self._sampler, state, key)
            images = saved_run.evaluate_images(self.config, self._images, self._sampler, state, key, ema=True)
            for name, entry in images.items():
                if entry["value"] is None:
                    logging.warning("At step %d %s is undefined: %s", step, name, entry["undefined"])
                else:
                    self.evaluated[name] = entry["value"]
        except (OSError, ValueError, MemoryError, jax.errors.JaxRuntimeError) as error:  # the device's memory too
            message = " ".join(str(error).split()) or type(error).__name__
            self.evaluation_error, self._has_failed = f"at step {step}: {message}".rstrip("."), True
            logging.warning("The evaluation failed %s.", self.evaluation_error)
        return self.evaluated

    def draw(self, step, state):
        """Writes a picture of samples, always of the same z; returns its path."""
        if not self.is_writer:
            return None
        n = self.config.evaluation.num_samples if builders.is_mixture(self.config) else 64
        samples = self._sampler(state, jax.random.fold_in(self.key, 2**31 - 3), n, ema=True)
        folder = self.workdir / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"step_{step:08d}.png"
        saved_run.draw_picture(self.config, path, samples, title=f"{self.config.method}, step {step}")
        return path

    def finish(self, values, *, write):
        """Notes, and writes as `final.json`, these values and the last evaluation.

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

    def close(self):
        """Waits for everything that is being written."""
        self._checkpointer.close()
        if self._best:
            self._best.close()
        if self._writer:
            self._writer.close()
        self._unlock()

    def _unlock(self):
        if self._lock:
            self._lock.close()


_AT_LEAST = {
    "algorithm.discriminator_steps": 1,
    "algorithm.unrolled_steps": 1,
    "discriminator.base_filters": 1,
    "discriminator.pack": 1,
    "discriminator.width": 1,
    "evaluation.every_steps": 0,
    "evaluation.min_hits": 1,
    "evaluation.num_neighbors": 1,
    "evaluation.num_real": 1,
    "evaluation.num_samples": 1,
    "evaluation.num_splits": 1,
    "evaluation.subset_size": 2,
    "generator.base_filters": 1,
    "generator.width": 1,
    "latent.dim": 1,
    "optimizer.decay_steps": 1,
    "penalty.max_samples": 1,
    "training.batch_size": 1,
    "training.checkpoint_every_steps": 1,
    "training.keep_checkpoints": 1,
    "training.keep_every_steps": 1,
    "training.log_every_steps": 1,
    "training.num_steps": 1,
    "training.sample_every_steps": 0,
    "training.steps_per_call": 1,
}


def _check_numbers(config):
    values = config_lib.flatten(config)
    for key, minimum in _AT_LEAST.items():
        if values[key] is not None and values[key] < minimum:
            raise UserError(f"config.{key} must be at least {minimum}, got {values[key]}.")
