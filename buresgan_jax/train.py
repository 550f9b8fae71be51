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

from buresgan_jax import build, data, devices, writers
from buresgan_jax.algorithms import GANState
from buresgan_jax.run import DivergedError, Run
from buresgan_jax.signals import StoppedError, StopSignals

_CALLS_IN_FLIGHT = 2


def plan_calls(start: int, stop: int, steps_per_call: int, intervals: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Cuts the steps into calls `(first, last + 1)` of at most `steps_per_call` that end at every interval."""
    while start < stop:
        ends = [start - start % every + every for every in (steps_per_call, *intervals)]
        end = min(stop, *ends)
        yield start, end
        start = end


class DataParallel:
    """One run whose batch is split over all devices of all processes.

    Attributes:
        runs: the run alone: the loop trains several that advance together just as well.
        where: the workdir, for messages.
    """

    def __init__(self, run: Run, layout: devices.Layout, signals: StopSignals):
        """Places state and data on the devices."""
        self.runs, self.where = [run], run.workdir
        self._layout, self._steps_per_call = layout, run.config.training.steps_per_call
        feed, run.feed = run.feed, None  # what lies on the devices need not stay on the host
        with signals.interruptible():
            resident = feed.load()
        self._read = feed.read
        algorithm = build.algorithm(run.config, devices.AXIS)
        run_steps = devices.make_run_steps(algorithm, feed.decode, self._steps_per_call)
        self._run_steps = devices.over_devices(run_steps, resident=devices.on_local_devices(resident))
        self._key = devices.on_local_devices(run.key)
        self._state, self._tracker = devices.on_local_devices((run.state, run.tracker))
        self._zero_tracker = devices.on_local_devices(jax.tree.map(np.zeros_like, run.tracker))
        self._fetched = (None, None)  # a state and its NumPy arrays

    def calls(self, plan):
        """`(start, stop, batches)` for every call of the plan, read ahead in the background."""

        def read(start, stop):
            batches = self._read(start, stop)
            # A short call is filled up, so that every call has the shape that was compiled.
            return self._layout.split(np.resize(batches, (self._steps_per_call, *batches.shape[1:])))

        return data.prefetch(read, plan, place=lambda batches: devices.on_local_devices(batches, devices.AXIS))

    def step(self, batches, num_steps, signal_number):
        """Starts a call; returns, still to come, the step after it and a signal that any process has noticed."""
        noticed = np.full(self._layout.local_devices, signal_number, np.int32)
        self._state, self._tracker, done = self._run_steps(
            self._state, self._tracker, self._key, batches, num_steps, noticed
        )
        return devices.start_copy(done)

    def states(self):
        """The state of every run as NumPy arrays, fetched once per step."""
        if self._fetched[0] is not self._state:
            self._fetched = (self._state, devices.on_host(self._state))
        return [self._fetched[1]]

    def trackers(self):
        """The metrics of every run since the last log, as NumPy arrays."""
        return [devices.on_host(self._tracker)]

    def take_trackers(self):
        """Lets the metrics start anew; returns a function that waits for what `trackers` would have returned."""
        taken, self._tracker = devices.start_copy(self._tracker), self._zero_tracker
        return lambda: [jax.tree.map(np.asarray, taken)]


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
        layout = devices.Layout.create(config.training.batch_size)
        with contextlib.closing(Run(config, workdir, signals, rows=layout.rows)) as run:
            begin = time.monotonic()
            parallel = DataParallel(run, layout, signals)
            for error in train(parallel, signals).values():
                raise error
            (state,) = parallel.states()
        if run.is_writer:
            seconds = round(time.monotonic() - begin, 2)
            print("final", json.dumps({"step": int(state.step), "seconds": seconds, **run.evaluated}), flush=True)
    return state


def train(parallel: DataParallel, signals: StopSignals) -> dict[int, DivergedError]:
    """Trains runs that advance together, to their last step; returns, by position, why some ended before.

    Raises:
        StoppedError: a signal came; all states are saved.
    """
    signals.stop_before_first_step()
    loop = _Loop(parallel)
    with contextlib.closing(loop.progress):
        loop.run(signals)
    return loop.diverged


class _Loop:
    """What is between two calls: what is due, and what is under way."""

    def __init__(self, parallel):
        self.parallel, self.runs, self.diverged = parallel, parallel.runs, {}
        self.config, self.start = self.runs[0].config, self.runs[0].start  # equal in all of them
        self.last = self.config.training.num_steps
        self.progress = writers.Progress(self.start, self.last, show=self.runs[0].is_writer)
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
        plan = plan_calls(self.start, self.last, options.steps_per_call, intervals)
        with contextlib.closing(self.parallel.calls(plan)) as calls:
            for start, stop, batches in calls:
                self.in_flight.append(self.parallel.step(batches, stop - start, signals.number))
                # The host stays a little ahead of the devices, not so far that batches pile up in their memory.
                while len(self.in_flight) > _CALLS_IN_FLIGHT or (self.in_flight and stop == self.last):
                    self.wait_for_call()
                self.after_call(stop)
                if len(self.diverged) == len(self.runs):
                    return
                if self.stop_signal and stop < self.last:
                    self.save(stop)
                    name = signal.Signals(self.stop_signal).name
                    message = f"{name}: stopped at step {stop}, saved in {self.parallel.where}. Run it again to go on."
                    raise StoppedError(message, self.stop_signal)

    def wait_for_call(self):
        """Waits for the oldest call under way."""
        step, self.stop_signal = (int(value) for value in self.in_flight.popleft())
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
