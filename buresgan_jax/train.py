"""The training loop: devices, data, logging, checkpoints. It knows an `Algorithm` and nothing about any method.

`jax.pmap` is applied here and only here, to a function of one device's share of the batch. Every random number and
every batch is a function of (seed, step), so a run that was stopped goes on as if it had not been.
"""

import collections
import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import struct

from buresgan_jax import build, data, evaluate, writers
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import Algorithm, GANState
from buresgan_jax.checkpoint import Checkpointer
from buresgan_jax.errors import UserError
from buresgan_jax.signals import StoppedError, StopSignals

AXIS = "batch"
_CALLS_IN_FLIGHT = 2


class DivergedError(RuntimeError):
    """A loss or a parameter is not finite."""


@struct.dataclass
class Tracker:
    """Sums of the metrics since the last log, and the first step (counted from 1) at which each was not finite.

    Stays on the devices between logs. `first_bad` is 0 where all was well.
    """

    sums: dict[str, jax.Array]
    count: jax.Array
    first_bad: dict[str, jax.Array]


# Steps on the devices


def make_tracker(algorithm: Algorithm, state: GANState, real: jax.ShapeDtypeStruct) -> Tracker:
    """A tracker of zeros for the metrics of an algorithm built without an axis."""
    _, metrics = jax.eval_shape(algorithm.update, state, real, jax.random.key(0))
    sums = {name: np.zeros((), np.float32) for name in metrics}
    return Tracker(sums, np.zeros((), np.int32), {name: np.zeros((), np.int32) for name in metrics})


def make_run_steps(algorithm: Algorithm, decode: Callable, steps_per_call: int) -> Callable:
    """`(state, tracker, key, batches, num_steps) -> (state, tracker, step)` on one device's share of the batches.

    `batches` is `[steps_per_call, batches_per_update, batch, ...]`, of which the first `num_steps` steps are run: a
    loop of dynamic length, so that one compiled program serves calls of every length and computes the same bits.
    """

    def one_step(index, carry, batches, key):
        state, tracker = carry
        real = decode(jax.lax.dynamic_index_in_dim(batches, index, keepdims=False))
        state, metrics = algorithm.update(state, real, jax.random.fold_in(key, state.step))
        first_bad = {
            name: jnp.where((tracker.first_bad[name] == 0) & ~jnp.isfinite(value), state.step, tracker.first_bad[name])
            for name, value in metrics.items()
        }
        sums = {name: tracker.sums[name] + value.astype(jnp.float32) for name, value in metrics.items()}
        return state, Tracker(sums, tracker.count + 1, first_bad)

    def run_steps(state, tracker, key, batches, num_steps):
        step = partial(one_step, batches=batches, key=key)
        if steps_per_call == 1:  # a loop would only cost: XLA runs convolutions in a loop's body on one thread
            state, tracker = step(0, (state, tracker))
        else:
            state, tracker = jax.lax.fori_loop(0, num_steps, step, (state, tracker))
        return state, tracker, state.step + 0  # a copy: the state itself is donated to the next call

    return run_steps


def over_devices(run_steps: Callable, devices: Sequence[jax.Device] | None = None) -> Callable:
    """The pmap: batches are split over devices, everything else is equal on all of them; the state is donated.

    Args:
        run_steps: of `make_run_steps`, for an algorithm built with the axis `AXIS`.
        devices: of all processes; None: all there are.

    Returns:
        `(state, tracker, key, batches, num_steps, stop) -> (state, tracker, (step, stop))`. `stop` is `[local_devices]`
        int32, a signal's number or 0; the result's is the largest of all processes, so that all of them hear of a
        signal to one after the same call, without waiting for each other.
    """

    def run(state, tracker, key, batches, num_steps, stop):
        state, tracker, step = run_steps(state, tracker, key, batches, num_steps)
        return state, tracker, (step, jax.lax.pmax(stop, AXIS))

    axes = (None, None, None, 0, None, 0)
    return jax.pmap(run, axis_name=AXIS, in_axes=axes, out_axes=None, donate_argnums=(0, 1), devices=devices)


def on_local_devices(tree, *axes: str):
    """Places arrays on this process's devices: whole, or with `AXIS` split along the first axis.

    The first call of a pmapped function on NumPy arrays and the next one on its own results would each compile.
    """
    mesh = jax.sharding.Mesh(jax.local_devices(), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.P(*axes)))


class Layout(NamedTuple):
    """How the global batch lies over processes and devices."""

    batch_size: int
    rows: slice  # of this process
    local_devices: int

    @classmethod
    def create(cls, batch_size: int) -> "Layout":
        """Splits the batch over all devices, in the order of the device axis."""
        devices, local = jax.device_count(), jax.local_device_count()
        if batch_size % devices:
            raise UserError(
                f"config.training.batch_size {batch_size} is not divisible by the {devices} devices. Set it to a "
                f"multiple of {devices}, such as {max(1, round(batch_size / devices)) * devices}."
            )
        size = batch_size // jax.process_count()
        return cls(batch_size, slice(jax.process_index() * size, (jax.process_index() + 1) * size), local)

    def split(self, batches: np.ndarray) -> np.ndarray:
        """`[steps, batches_per_update, rows, ...] -> [local_devices, steps, batches_per_update, batch, ...]`."""
        steps, per_update, rows, *shape = batches.shape
        split = batches.reshape(steps, per_update, self.local_devices, rows // self.local_devices, *shape)
        return np.ascontiguousarray(np.moveaxis(split, 2, 0))


def plan_calls(start: int, stop: int, steps_per_call: int, intervals: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Cuts the steps into calls `(first, last + 1)` of at most `steps_per_call` that end at every interval."""
    while start < stop:
        ends = [start - start % every + every for every in (steps_per_call, *intervals)]
        end = min(stop, *ends)
        yield start, end
        start = end


# The run


class _Run:
    """One run of training: what is built from the config, and what is opened on the disk."""

    def __init__(self, config, workdir, signals):
        _check_numbers(config)
        self.config, self.is_writer = config, jax.process_index() == 0
        self.layout = Layout.create(config.training.batch_size)
        self.algorithm = build.algorithm(config, AXIS)
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
        self.start = int(_local(self.state.step))
        self.sampler = evaluate.make_sampler(self.local_algorithm)
        self.evaluated = {}
        self.writer = writers.MetricWriter(self.workdir, start_step=self.start) if self.is_writer else None
        self.progress = writers.Progress(self.start, options.num_steps, show=self.is_writer)

    def _restore_or_init(self):
        example = np.zeros(build.example_shape(self.config), np.float32)
        init_key = jax.random.fold_in(self.key, 2**31 - 1)  # apart from every step's key
        like = jax.eval_shape(self.local_algorithm.init, init_key, example)
        tracker = self._zero_tracker(like, example.shape)
        restored = self.checkpointer.restore({"state": like, "tracker": tracker})
        if restored is None:
            return None, on_local_devices(jax.jit(self.local_algorithm.init)(init_key, example)), tracker
        step, items = restored
        return step, *on_local_devices((items["state"], items["tracker"]))

    def _zero_tracker(self, state, shape):
        rows = self.layout.batch_size // jax.device_count()
        real = jax.ShapeDtypeStruct((self.algorithm.batches_per_update, rows, *shape), jnp.float32)
        return on_local_devices(make_tracker(self.local_algorithm, state, real))

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

        return data.prefetch(read, plan, place=lambda batches: on_local_devices(batches, AXIS))

    def host_state(self):
        """The state as NumPy arrays."""
        return _on_host(self.state)

    def check_finite(self):
        """Raises DivergedError if any metric so far was not finite."""
        first_bad = {name: int(_local(step)) for name, step in self.tracker.first_bad.items()}
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
        self.checkpointer.save(step, {"state": state, "tracker": _on_host(self.tracker)})
        self.saved_step = step

    def log(self, step):
        """Writes the means of the metrics since the last log, and starts anew."""
        self.check_finite()
        count = int(_local(self.tracker.count))
        values = {name: float(_local(total)) / count for name, total in self.tracker.sums.items()}
        self.tracker = on_local_devices(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.tracker))
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


def _on_host(tree):
    return jax.tree.map(lambda leaf: np.asarray(_local(leaf)), tree)


def _local(leaf):
    """This process's copy of an array that is equal on all devices."""
    return leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf


_AT_LEAST = {
    "evaluation.every_steps": 0,
    "evaluation.num_samples": 1,
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
    run_steps = over_devices(make_run_steps(run.algorithm, run.source.decode, options.steps_per_call))
    in_flight, key, stop_signal = collections.deque(), on_local_devices(run.key), 0
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
                step, stop_signal = (int(_local(value)) for value in in_flight.popleft())
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
