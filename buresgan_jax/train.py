"""The training loop: data, logging, checkpoints. It knows an `Algorithm` and nothing about any method.

Every random number and every batch is a function of (seed, step), so a run that was stopped goes on as if it had not
been.
"""

import collections
import contextlib
import json
import signal
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from buresgan_jax import build, data, devices, evaluate, writers
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import GANState
from buresgan_jax.checkpoint import Checkpointer
from buresgan_jax.errors import UserError
from buresgan_jax.signals import StoppedError, StopSignals

_CALLS_IN_FLIGHT = 2


class DivergedError(RuntimeError):
    """A loss or a parameter is not finite."""


def plan_calls(start: int, stop: int, steps_per_call: int, intervals: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Cuts the steps into calls `(first, last + 1)` of at most `steps_per_call` that end at every interval."""
    while start < stop:
        ends = [start - start % every + every for every in (steps_per_call, *intervals)]
        end = min(stop, *ends)
        yield start, end
        start = end


class _Run:
    """One run of training: what is built from the config, and what is opened on the disk."""

    def __init__(self, config, workdir, signals):
        _check_numbers(config)
        self.config, self.is_writer = config, jax.process_index() == 0
        self.layout = devices.Layout.create(config.training.batch_size)
        self.algorithm = build.algorithm(config, devices.AXIS)
        self.local_algorithm = build.algorithm(config)  # for one device: initial state, samples
        self.key = jax.random.key(config.seed)
        self.workdir = writers.open_workdir(config, workdir, write=self.is_writer)
        # Before the workdir is bound to this config: a data set that is not there is the commonest mistake.
        with signals.interruptible():
            self.source = build.source(config)
        data.batch_indices(
            self.source.num_examples, seed=config.seed, batch_size=self.layout.batch_size, batch_number=0
        )
        options = config.training
        self.checkpointer = Checkpointer(
            self.workdir, keep=options.keep_checkpoints, keep_every_steps=options.keep_every_steps
        )
        self.saved_step, self.state, self.tracker = self._restore_or_init()
        if self.is_writer:
            writers.save_config(config, self.workdir)
        self.start = int(devices.local(self.state.step))
        self.sampler = evaluate.make_sampler(self.local_algorithm)
        self.evaluated = {}
        self._fetched = (None, None)  # a state and its NumPy arrays
        self.writer = writers.MetricWriter(self.workdir, start_step=self.start) if self.is_writer else None
        self.progress = writers.Progress(self.start, options.num_steps, show=self.is_writer)

    def _restore_or_init(self):
        example = np.zeros(build.example_shape(self.config), np.float32)
        init_key = jax.random.fold_in(self.key, 2**31 - 1)  # apart from every step's key
        like = jax.eval_shape(self.local_algorithm.init, init_key, example)
        tracker = self._zero_tracker(like, example.shape)
        restored = self.checkpointer.restore({"state": like, "tracker": tracker})
        if restored is None:
            return None, devices.on_local_devices(jax.jit(self.local_algorithm.init)(init_key, example)), tracker
        step, items = restored
        return step, *devices.on_local_devices((items["state"], items["tracker"]))

    def _zero_tracker(self, state, shape):
        rows = self.layout.batch_size // jax.device_count()
        real = jax.ShapeDtypeStruct((self.algorithm.batches_per_update, rows, *shape), jnp.float32)
        return devices.on_local_devices(devices.make_tracker(self.local_algorithm, state, real))

    def calls(self):
        """`(start, stop, batches)` for every device call, read ahead in the background."""
        options, per_update = self.config.training, self.algorithm.batches_per_update
        intervals = [options.log_every_steps, options.checkpoint_every_steps, options.sample_every_steps]
        intervals = tuple(every for every in (*intervals, self.config.evaluation.every_steps) if every)
        plan = plan_calls(self.start, options.num_steps, options.steps_per_call, intervals)

        def read(start, stop):
            batches = data.read_steps(
                self.source,
                start,
                stop,
                seed=self.config.seed,
                batch_size=self.layout.batch_size,
                batches_per_update=per_update,
                rows=self.layout.rows,
            )
            # A short call is filled up, so that every call has the shape that was compiled.
            return self.layout.split(np.resize(batches, (options.steps_per_call, *batches.shape[1:])))

        return data.prefetch(read, plan, place=lambda batches: devices.on_local_devices(batches, devices.AXIS))

    def host_state(self):
        """The state as NumPy arrays, fetched once per step."""
        if self._fetched[0] is not self.state:
            self._fetched = (self.state, devices.on_host(self.state))
        return self._fetched[1]

    def check_finite(self):
        """Raises DivergedError if any metric so far was not finite."""
        first_bad = {name: int(devices.local(step)) for name, step in self.tracker.first_bad.items()}
        bad = {name: step for name, step in first_bad.items() if step}
        if bad:
            step = min(bad.values())
            names = ", ".join(sorted(name for name in bad if bad[name] == step))
            raise DivergedError(self._diverged(f"step {step}: {names} is not finite"))

    def _diverged(self, what):
        last = (
            f"The last good checkpoint is step {self.saved_step}" if self.saved_step else "No checkpoint was saved yet"
        )
        return f"{what}. {last} ({self.workdir}). Try smaller learning rates or a smaller penalty weight."

    def save(self, step):
        """Saves the state, unless it is not finite."""
        self.check_finite()
        state = self.host_state()
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
                raise DivergedError(self._diverged(f"step {step}: state{jax.tree_util.keystr(path)} is not finite"))
        self.checkpointer.save(step, {"state": state, "tracker": devices.on_host(self.tracker)})
        self.saved_step = step

    def log(self, step):
        """Writes the means of the metrics since the last log, and starts anew."""
        self.check_finite()
        count = int(devices.local(self.tracker.count))
        values = {name: float(devices.local(total)) / count for name, total in self.tracker.sums.items()}
        self.tracker = devices.on_local_devices(
            jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.tracker)
        )
        if self.is_writer:
            self.writer.write(step, "train", values)
            self.progress.report(step, values)

    def evaluate(self, step, *, write=True):
        """Computes the metrics of samples, and writes them."""
        if not self.is_writer:
            return
        values = evaluate.evaluate(
            self.config, self.sampler, self.host_state(), jax.random.fold_in(self.key, 2**31 - 2)
        )
        if values:
            self.evaluated = values
            if write:
                self.writer.write(step, "eval", values)
            self.progress.say(f"step {step}: " + "  ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def draw(self, step):
        """Writes a picture of samples, always of the same z."""
        if not self.is_writer:
            return
        n = self.config.evaluation.num_samples if build.is_mixture(self.config) else 64
        samples = self.sampler(self.host_state(), jax.random.fold_in(self.key, 2**31 - 3), n, ema=True)
        folder = self.workdir / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"step_{step:08d}.png"
        evaluate.draw_picture(self.config, path, samples, title=f"{self.config.method}, step {step}")
        if step == self.config.training.num_steps or self.start == step:
            self.progress.say(f"step {step}: picture {path}")

    def close(self):
        """Waits for everything that is being written."""
        self.checkpointer.close()
        self.progress.close()
        if self.writer:
            self.writer.close()


_AT_LEAST = {
    "discriminator.base_filters": 1,
    "evaluation.every_steps": 0,
    "evaluation.num_samples": 1,
    "generator.base_filters": 1,
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


def train_and_evaluate(config, workdir) -> GANState:
    """Trains, or goes on with, the run of a config in a workdir.

    Args:
        config: the resolved config.
        workdir: a local folder or a remote one (`gs://...`); see the README for what a run writes there.

    Returns:
        The last state, as NumPy arrays.

    Raises:
        UserError: something the user can mend.
        DivergedError: a loss or parameter is not finite; nothing after that step is saved.
        StoppedError: SIGTERM or Ctrl-C; the state is saved.
    """
    with StopSignals(alone=jax.process_count() == 1) as signals:
        run = _Run(config, workdir, signals)
        with contextlib.closing(run):
            begin = time.monotonic()
            _loop(run, signals)
            state = run.host_state()
        if run.is_writer:
            seconds = round(time.monotonic() - begin, 2)
            print("final", json.dumps({"step": int(state.step), "seconds": seconds, **run.evaluated}), flush=True)
    return state


def _loop(run: _Run, signals: StopSignals) -> None:
    signals.stop_before_first_step()
    options, last = run.config.training, run.config.training.num_steps
    run_steps = devices.over_devices(devices.make_run_steps(run.algorithm, run.source.decode, options.steps_per_call))
    in_flight, key, stop_signal = collections.deque(), devices.on_local_devices(run.key), 0
    if run.start >= last:
        logging.warning("The run is at step %d already, config.training.num_steps is %d.", run.start, last)
        run.evaluate(run.start, write=False)
    if run.start == 0:
        run.draw(0)
    with contextlib.closing(run.calls()) as calls:
        for start, stop, batches in calls:
            noticed = np.full(run.layout.local_devices, signals.number, np.int32)
            run.state, run.tracker, done = run_steps(run.state, run.tracker, key, batches, stop - start, noticed)
            in_flight.append(done)
            # The host stays a little ahead of the devices, not so far that batches pile up in their memory.
            while len(in_flight) > _CALLS_IN_FLIGHT or (in_flight and stop == last):
                step, stop_signal = (int(devices.local(value)) for value in in_flight.popleft())
                run.progress.step(step)
            _after_call(run, stop, last)
            if stop_signal and stop < last:
                run.save(stop)
                name = signal.Signals(stop_signal).name
                raise StoppedError(
                    f"{name}: stopped at step {stop}, saved in {run.workdir}. Run it again to go on.", stop_signal
                )


def _after_call(run, step, last):
    """What is due at a step. Checkpoints come last: a step that was saved has written all else."""
    options = run.config.training

    def due(every):
        return step == last or (every and step % every == 0)

    if due(options.log_every_steps):
        run.progress.step(step)
        run.log(step)
    if due(run.config.evaluation.every_steps):
        run.check_finite()
        run.evaluate(step)
    if due(options.sample_every_steps):
        run.draw(step)
    if due(options.checkpoint_every_steps):
        run.save(step)
