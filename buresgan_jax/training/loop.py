"""The training loop: which step is due for what. It knows an `Algorithm` and nothing about any method.

Every random number and every batch is a function of (seed, step), so a run that was stopped goes on as if it had not
been.
"""

import collections
import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from absl import logging

from buresgan_jax.algorithms import GANState
from buresgan_jax.errors import UserError
from buresgan_jax.runtime.signals import StoppedError, StopSignals
from buresgan_jax.training import devices
from buresgan_jax.training.layouts import DataParallel, Stacked
from buresgan_jax.training.progress import Progress, Trace
from buresgan_jax.training.run import DivergedError, Run
from buresgan_jax.training.workdir import machine

_CALLS_IN_FLIGHT = 2


def plan_calls(start: int, stop: int, steps_per_call: int, intervals: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Cuts the steps into calls `(first, last + 1)` of at most `steps_per_call` that end at every interval."""
    while start < stop:
        ends = [start - start % every + every for every in (steps_per_call, *intervals)]
        end = min(stop, *ends)
        yield start, end
        start = end


def train_and_evaluate(config, workdir, *, profile: bool = False) -> GANState:
    """Trains, or goes on with, the run of a config in a workdir.

    Args:
        config: the resolved config.
        workdir: a local folder or a remote one (`gs://...`); see the README for what a run writes there.
        profile: whether to trace a few calls, into `workdir/profile`.

    Returns:
        The last state, as NumPy arrays.

    Raises:
        UserError: something the user can mend; at the end, if an evaluation failed.
        DivergedError: a loss or parameter is not finite; nothing after that step is saved.
        StoppedError: SIGTERM or Ctrl-C; the state is saved.
    """
    begin = time.monotonic()
    with StopSignals(alone=jax.process_count() == 1) as signals:
        layout = devices.Layout.create(config.training.batch_size)
        with contextlib.closing(Run(config, workdir, signals, rows=layout.rows)) as run:
            parallel = DataParallel(run, layout, signals)
            trace = Trace(run.workdir / "profile" if profile and run.is_writer else None)
            for error in train(parallel, signals, begin=begin, trace=trace).values():
                raise error
            (state,) = parallel.states()
        if run.evaluation_error:
            raise UserError(
                f"Training is done and saved in {run.workdir}, but an evaluation failed {run.evaluation_error}. "
                "Evaluate the checkpoints with --mode=evaluate --checkpoint=all."
            )
        if run.is_writer:
            print("final", json.dumps(run.final), flush=True)
    return state


def train(
    parallel: DataParallel | Stacked, signals: StopSignals, *, begin: float, trace: Trace | None = None
) -> dict[int, DivergedError]:
    """Trains runs that advance together, to their last step.

    Args:
        parallel: the runs.
        signals: that ask for a stop.
        begin: `time.monotonic()` when the program began to prepare the runs.
        trace: of some calls.

    Returns:
        Why some runs ended before, by position.

    Raises:
        StoppedError: a signal came; all states are saved.
    """
    signals.stop_before_first_step()
    loop = _Loop(parallel, begin, trace or Trace(None))
    with contextlib.closing(loop.progress), contextlib.closing(loop.trace):
        loop.run(signals)
    return loop.diverged


class _Loop:
    """What is between two calls: what is due, and what is under way."""

    def __init__(self, parallel, begin, trace):
        self.parallel, self.runs, self.diverged = parallel, parallel.runs, {}
        self.begin, self.first, self.trace = begin, None, trace
        self.config, self.start = self.runs[0].config, self.runs[0].start  # equal in all of them
        self.last = self.config.training.num_steps
        self.progress = Progress(self.start, self.last, show=self.runs[0].is_writer)
        self.in_flight, self.stop_signal = collections.deque(), 0
        self.logs = collections.deque()  # (step, function that waits for its metrics)

    def run(self, signals):
        options = self.config.training
        if self.start >= self.last:
            logging.warning("The run is at step %d already, config.training.num_steps is %d.", self.start, self.last)
            self.evaluate(self.start, write=False)
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
                self.in_flight.append(self.parallel.step(batches, stop - start, signals.number))
                # The host stays a little ahead of the devices, not so far that batches pile up in their memory.
                self.wait_for_calls(0 if stop == self.last else _CALLS_IN_FLIGHT)
                self.after_call(stop)
                if len(self.diverged) == len(self.runs):
                    return
                if self.stop_signal and stop < self.last:
                    self.save(stop)
                    name = signal.Signals(self.stop_signal).name
                    message = f"{name}: stopped at step {stop}, saved in {self.parallel.where}. Run it again to go on."
                    raise StoppedError(message, self.stop_signal)
        self.finish()

    def wait_for_calls(self, but=0):
        """Waits until all calls but this many are done."""
        while len(self.in_flight) > but:
            step, self.stop_signal = (int(value) for value in self.in_flight.popleft())
            if self.first is None:  # it compiles: its time says nothing about the rest
                self.first = (step, time.monotonic())
                self.progress.say(f"step {step}: {self.first[1] - self.begin:.1f} s after the start")
            self.progress.step(step)
            self.write_logs(step)

    def after_call(self, step):
        """What is due at a step. Checkpoints come last: a step that was saved has written all else."""
        options = self.config.training

        def due(every):
            return step == self.last or (every and step % every == 0)

        if due(options.log_every_steps):  # read when the call is done, which keeps the devices busy meanwhile
            self.logs.append((step, self.parallel.take_trackers()))
        if due(self.config.evaluation.every_steps):
            self.evaluate(step)
        if due(options.sample_every_steps):
            self.draw(step)
        if due(options.checkpoint_every_steps):
            self.save(step)

    def for_each(self, function: Callable):
        """`[function(index, run), ...]` for the runs that have not diverged; notes those that do."""
        results = []
        for index, run in enumerate(self.runs):
            if index not in self.diverged:
                try:
                    results.append(function(index, run))
                except DivergedError as error:
                    self.diverged[index] = error
        return results

    def write_logs(self, last):
        """Writes the metrics of all steps up to `last`, and finds the runs that have diverged."""
        while self.logs and self.logs[0][0] <= last:
            step, read = self.logs.popleft()
            trackers = read()
            values = self.for_each(lambda index, run: run.log(step, trackers[index]))  # noqa: B023
            self.progress.step(step)
            if values:
                self.progress.report(step, {name: np.mean([each[name] for each in values]) for name in values[0]})

    def wait_for_states(self, step):
        """The states after a step, when all calls are done and logged."""
        self.write_logs(step)
        return self.parallel.states()

    def evaluate(self, step, *, write=True):
        states, trackers = self.wait_for_states(step), self.parallel.trackers()
        self.for_each(lambda index, run: run.check_finite(trackers[index]))
        for values in self.for_each(lambda index, run: run.evaluate(step, states[index], write=write)):
            if values:
                text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
                self.progress.say(f"step {step}: {text}")

    def draw(self, step):
        states = self.wait_for_states(step)
        for path in self.for_each(lambda index, run: run.draw(step, states[index])):
            if step in (self.start, self.last):
                self.progress.say(f"step {step}: picture {path}")

    def save(self, step):
        states, trackers = self.wait_for_states(step), self.parallel.trackers()
        self.for_each(lambda index, run: run.save(step, states[index], trackers[index]))

    def finish(self):
        """Writes what each run says of itself at its end, unless it had said so before."""
        now, step = time.monotonic(), max(self.start, self.last)
        values = {"step": step, "seconds": round(now - self.begin, 2), **machine()}
        if self.first is not None:
            values["first_step_seconds"] = round(self.first[1] - self.begin, 2)
            if step > self.first[0]:
                values["seconds_per_step"] = round((now - self.first[1]) / (step - self.first[0]), 6)
        self.for_each(lambda _, run: run.finish(values, write=self.first is not None))
        self.trace.close()
        if self.trace.is_written:
            self.progress.say(f"trace of a few calls: tensorboard --logdir={self.trace.folder} (needs xprof)")
        elif self.trace.folder:
            logging.warning("Nothing was traced: there were too few calls.")
