"""The training loop. It uses the `Algorithm` interface and knows nothing about any method.

Every random number and every batch is a function of (seed, step), so a stopped run resumes as if it had not been
stopped.
"""

import collections
import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from absl import logging
from etils import epath

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import GANState
from buresgan_jax.errors import UserError
from buresgan_jax.runtime.signals import StoppedError, StopSignals
from buresgan_jax.training import devices
from buresgan_jax.training.layouts import DataParallel, Stacked
from buresgan_jax.training.opening import agree_on_config, open_run
from buresgan_jax.training.progress import Progress, Trace
from buresgan_jax.training.recorder import DivergedError, Recorder
from buresgan_jax.training.workdir import machine

_CALLS_IN_FLIGHT = 2


def plan_calls(start: int, stop: int, steps_per_call: int, intervals: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Cuts the steps into calls `(first, last + 1)` of at most `steps_per_call` that end at every interval."""
    while start < stop:
        ends = [start - start % every + every for every in (steps_per_call, *intervals)]
        end = min(stop, *ends)
        yield start, end
        start = end


def train_and_evaluate(config, workdir: epath.PathLike, *, profile: bool = False) -> GANState:
    """Trains or resumes the run of a config in a workdir.

    Args:
        config: The resolved config.
        workdir: The run's directory, local or remote (`gs://...`); docs/training.md lists what a run writes there.
        profile: Whether to trace a few calls, into `workdir/profile`.

    Returns:
        The last state, as NumPy arrays.

    Raises:
        UserError: An error that the user can fix; at the end, if an evaluation failed.
        DivergedError: A loss or parameter is not finite; nothing after that step is saved.
        StoppedError: Ctrl-C, SIGTERM or SIGHUP; the state is saved.
    """
    begin = time.monotonic()
    with StopSignals(alone=jax.process_count() == 1) as signals:
        agree_on_config(config)
        config_lib.check(config)
        builders.check_batch_size(config, jax.device_count())
        layout = devices.Layout.create(config.training.batch_size)
        opened, recorder = open_run(config, workdir, signals, rows=layout.rows)
        with contextlib.closing(recorder):
            parallel = DataParallel(opened, layout, signals)
            del opened  # its arrays are on the devices now and can leave the host
            trace = Trace(recorder.workdir / "profile" if profile and recorder.is_writer else None)
            for error in train(parallel, [recorder], signals, begin=begin, trace=trace).values():
                raise error
            (state,) = parallel.states()
        if recorder.evaluation_error:
            raise UserError(
                f"Training is done and saved in {recorder.workdir}, but an evaluation failed "
                f"{recorder.evaluation_error}. Evaluate the checkpoints with --mode=evaluate --checkpoint=all."
            )
        if recorder.is_writer:
            print("final", json.dumps(recorder.final), flush=True)
    return state


def train(
    parallel: DataParallel | Stacked,
    recorders: Sequence[Recorder],
    signals: StopSignals,
    *,
    begin: float,
    trace: Trace | None = None,
) -> dict[int, DivergedError]:
    """Trains runs that advance together, to their last step.

    Args:
        parallel: The runs on the devices.
        recorders: Their recorders, in the same order.
        signals: Signals that ask for a stop.
        begin: `time.monotonic()` when the program began to prepare the runs.
        trace: Trace of some calls.

    Returns:
        The errors of runs that have diverged, by position.

    Raises:
        StoppedError: A signal came; all states are saved.
    """
    signals.stop_before_first_step()
    loop = _Loop(parallel, recorders, signals, begin, trace or Trace(None))
    with contextlib.closing(loop.progress), contextlib.closing(loop.trace):
        loop.run()
    return loop.diverged


class _Loop:
    """State of the loop between two calls: pending actions and running calls."""

    def __init__(self, parallel, recorders, signals, begin, trace):
        self.parallel, self.recorders, self.diverged, self.signals = parallel, recorders, {}, signals
        self.begin, self.first, self.trace = begin, None, trace
        self.config, self.start = recorders[0].config, recorders[0].start  # the parts used here are equal in all runs
        self.last = self.config.training.num_steps
        self.progress = Progress(self.start, self.last, show=recorders[0].is_writer)
        self.in_flight, self.stop_signal = collections.deque(), 0
        self.logs = collections.deque()  # (step, function that waits for its metrics)

    def run(self):
        options = self.config.training
        if self.start >= self.last:
            logging.warning("The run is already at step %d, config.training.num_steps is %d.", self.start, self.last)
            self.evaluate(self.start, write=False)
        else:
            self.announce()
        if self.start == 0:
            self.draw(0)
        intervals = [options.log_every_steps, options.checkpoint_every_steps, options.sample_every_steps]
        intervals = tuple(every for every in (*intervals, self.config.evaluation.every_steps) if every)
        plan = plan_calls(self.start, self.last, self.parallel.steps_per_call, intervals)
        with contextlib.closing(self.parallel.calls(plan)) as calls:
            for number, (start, stop, batches) in enumerate(calls):
                if self.trace.is_due(number):
                    self.wait_for_calls()
                    self.trace.switch()
                self.in_flight.append(self.parallel.step(batches, stop - start, self.signals.number))
                # The host stays a little ahead of the devices, but not so far that batches fill up their memory.
                self.wait_for_calls(0 if stop == self.last else _CALLS_IN_FLIGHT)
                self.after_call(stop)
                if len(self.diverged) == len(self.recorders):
                    return
                if self.stop_signal and stop < self.last:
                    self.save(stop)
                    name = signal.Signals(self.stop_signal).name
                    message = f"{name}: stopped at step {stop}, saved in {self.parallel.where}. Run it again to resume."
                    raise StoppedError(message, self.stop_signal)
        self.finish()

    def announce(self):
        """Says what begins, and what the wait is for."""
        config, recorder, runs = self.config, self.recorders[0], ""
        if len(self.recorders) > 1:
            runs = f"{len(self.recorders)} runs of "
        number = "endless" if recorder.num_examples is None else f"{recorder.num_examples:,}"
        data = f"{number} {'pictures' if recorder.is_of_images else 'points'} of {config.data.name}"
        self.progress.say(f"{runs}{config.method}: {data}, {config.training.batch_size} per batch")
        if self.start:
            self.progress.say(f"resuming at step {self.start}")
        time_needed = "about a minute" if recorder.is_of_images else "some seconds"
        kept = ", kept for the next" if jax.config.jax_compilation_cache_dir else ""
        self.progress.say(f"compiling, {time_needed} the first time{kept}")

    def wait_for_calls(self, but=0):
        """Waits until at most `but` calls are still running."""
        while len(self.in_flight) > but:
            step, self.stop_signal = (int(value) for value in self.in_flight.popleft())
            if self.first is None:  # the first call compiles, so its time is not typical
                self.first = (step, time.monotonic())
                self.signals.has_steps()
                self.progress.say(f"step {step}: {self.first[1] - self.begin:.1f} s after the start")
            self.progress.step(step)
            self.write_logs(step)

    def after_call(self, step):
        """Takes all actions due at a step. Checkpoints are last, so a saved step has written everything else."""
        options = self.config.training

        def due(every):
            return step == self.last or (every and step % every == 0)

        if due(options.log_every_steps):  # read when the call is done, so the devices stay busy
            self.logs.append((step, self.parallel.take_trackers()))
        if due(self.config.evaluation.every_steps):
            self.evaluate(step)
        if due(options.sample_every_steps):
            self.draw(step)
        if due(options.checkpoint_every_steps):
            self.save(step)

    def for_each(self, function: Callable):
        """Returns `[function(index, recorder), ...]` for the runs that have not diverged; records new divergences."""
        results = []
        for index, recorder in enumerate(self.recorders):
            if index not in self.diverged:
                try:
                    results.append(function(index, recorder))
                except DivergedError as error:
                    self.diverged[index] = error
        return results

    def write_logs(self, last):
        """Writes the metrics of all steps up to `last` and finds runs that have diverged."""
        while self.logs and self.logs[0][0] <= last:
            step, read = self.logs.popleft()
            trackers = read()
            values = self.for_each(lambda index, recorder: recorder.log(step, trackers[index]))  # noqa: B023
            self.progress.step(step)
            if values:
                self.progress.report(step, {name: np.mean([each[name] for each in values]) for name in values[0]})

    def wait_for_states(self, step):
        """Waits until all calls are done and logged; returns the states after a step."""
        self.write_logs(step)
        return self.parallel.states()

    def evaluate(self, step, *, write=True):
        states, trackers = self.wait_for_states(step), self.parallel.trackers()
        self.for_each(lambda index, recorder: recorder.check_finite(trackers[index]))
        for values in self.for_each(lambda index, recorder: recorder.evaluate(step, states[index], write=write)):
            if values:
                text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
                self.progress.say(f"step {step}: {text}")

    def draw(self, step):
        states = self.wait_for_states(step)
        for path in self.for_each(lambda index, recorder: recorder.draw(step, states[index])):
            if step in (self.start, self.last):
                self.progress.say(f"step {step}: picture {path}")

    def save(self, step):
        states, trackers = self.wait_for_states(step), self.parallel.trackers()
        self.for_each(lambda index, recorder: recorder.save(step, states[index], trackers[index]))

    def finish(self):
        """Writes the results of each run if it trained any steps."""
        now, step = time.monotonic(), max(self.start, self.last)
        values = {"step": step, "seconds": round(now - self.begin, 2), **machine()}
        if self.first is not None:
            values["first_step_seconds"] = round(self.first[1] - self.begin, 2)
            if step > self.first[0]:
                values["seconds_per_step"] = round((now - self.first[1]) / (step - self.first[0]), 6)
        self.for_each(lambda _, recorder: recorder.finish(values, write=self.first is not None))
        self.trace.close()
        if self.trace.is_written:
            self.progress.say(f"trace of a few calls: tensorboard --logdir={self.trace.folder} (needs xprof)")
        elif self.trace.folder:
            logging.warning("Nothing was traced: there were too few calls.")
