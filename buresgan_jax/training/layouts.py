"""Layouts of runs on the devices: one run over all of them, or several runs that advance together.

Both layouts have `where` and `steps_per_call`, and take a call of steps to the devices and its results back; the loop
knows nothing else of them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from buresgan_jax import builders, data
from buresgan_jax.runtime.signals import StopSignals
from buresgan_jax.training import devices
from buresgan_jax.training.run import OpenedRun


class DataParallel:
    """One run whose batch is split over all devices of all processes.

    Attributes:
        where: The run's directory, for messages.
        steps_per_call: Number of updates in a call.
    """

    def __init__(self, run: OpenedRun, layout: devices.Layout, signals: StopSignals):
        """Places state and data on the devices. Only the function that reads batches stays on the host."""
        self.where, feed = run.workdir, run.feed
        self.steps_per_call = devices.choose_steps_per_call(
            run.config.training.steps_per_call, run.description.example_shape, feed.bytes_per_update
        )
        with signals.interruptible():
            resident = feed.load()
        self._layout, self._read = layout, feed.read
        algorithm = builders.algorithm(run.config, devices.axis())
        run_steps = devices.make_run_steps(algorithm, feed.decode, self.steps_per_call)
        self._run_steps = devices.over_devices(run_steps, resident=devices.on_local_devices(resident))
        self._key = devices.on_local_devices(run.key)
        self._state, self._tracker = devices.on_local_devices((run.state, run.tracker))
        self._zero_tracker = devices.on_local_devices(jax.tree.map(np.zeros_like, run.tracker))
        self._fetched = (None, None)  # a state and its NumPy arrays

    def calls(self, plan):
        """Yields `(start, stop, batches)` for every call of the plan, read ahead in the background."""

        def read(start, stop):
            return self._layout.split(_fill_up(self._read(start, stop), self.steps_per_call))

        return data.prefetch(read, plan, place=lambda batches: devices.on_local_devices(batches, devices.AXIS))

    def step(self, batches, num_steps, signal_number):
        """Starts a call; returns the step after it and any process's signal, which are still being computed."""
        noticed = np.full(self._layout.local_devices, signal_number, np.int32)
        self._state, self._tracker, done = self._run_steps(
            self._state, self._tracker, self._key, batches, num_steps, noticed
        )
        return devices.start_copy(done)

    def states(self):
        """Returns the state of every run as NumPy arrays, fetched once per step."""
        if self._fetched[0] is not self._state:
            self._fetched = (self._state, devices.on_host(self._state))
        return [self._fetched[1]]

    def trackers(self):
        """Returns the metrics of every run since the last log, as NumPy arrays."""
        return [devices.on_host(self._tracker)]

    def take_trackers(self):
        """Resets the metrics; returns a function that waits for the metrics before the reset."""
        taken, self._tracker = devices.start_copy(self._tracker), self._zero_tracker
        return lambda: [jax.tree.map(np.asarray, taken)]


class Stacked:
    """Several runs that advance together, under one `vmap` on each device of this process.

    Their configs differ in traced keys only: the seed, learning rates, weights. If the number of runs is no multiple
    of the number of devices, copies of the last run fill the gap. A resident data set that is the same for all runs
    is on each device once.

    Attributes:
        where: The folder that holds the runs, for messages.
        steps_per_call: Number of updates in a call.
    """

    def __init__(self, runs: list[OpenedRun], where: epath.PathLike):
        """Places states and data on the devices."""
        self.where, self._num_runs = where, len(runs)
        self._feeds = [run.feed for run in runs]
        feed, config = self._feeds[0], runs[0].config
        used = jax.local_devices()[: len(runs)]
        self._shape = (len(used), -(-len(runs) // len(used)))
        self._place = functools.partial(devices.on_local_devices, devices=used)
        self.steps_per_call = devices.choose_steps_per_call(
            config.training.steps_per_call, runs[0].description.example_shape, feed.bytes_per_update * self._shape[1]
        )
        run_steps = devices.make_run_steps(builders.algorithm(config), feed.decode, self.steps_per_call)
        resident, is_shared = self._load([run.config for run in runs])
        self._run_steps = devices.over_runs(run_steps, used, resident, is_shared=is_shared)
        stacked = self._stack([(run.state, run.tracker) for run in runs])
        self._state, self._tracker = self._place(stacked, devices.AXIS)
        self._zero_tracker = self._place(jax.tree.map(np.zeros_like, stacked[1]), devices.AXIS)
        self._keys = self._place(self._stack([run.key for run in runs], jnp), devices.AXIS)
        self._fetched = (None, None)  # a state and its parts

    def _load(self, configs):
        """Returns the resident data on the devices, and whether they are the same for all runs."""
        is_shared = len({builders.source_key(config) for config in configs}) == 1
        loaded = [feed.load() for feed in self._feeds[: 1 if is_shared else None]]
        if is_shared:
            return self._place(loaded[0]), True
        return self._place(self._stack(loaded), devices.AXIS), False

    def _stack(self, trees, numpy=np):
        """Stacks trees to leaves `[devices, runs on each, ...]`."""
        trees = trees + [trees[-1]] * (self._shape[0] * self._shape[1] - len(trees))
        return jax.tree.map(lambda *leaves: numpy.stack(leaves).reshape(*self._shape, *leaves[0].shape), *trees)

    def _split(self, tree):
        """Splits leaves `[devices, runs on each, ...]` into the NumPy arrays of each run."""
        flat = jax.tree.map(lambda leaf: (array := np.asarray(leaf)).reshape(-1, *array.shape[2:]), tree)
        return [jax.tree.map(lambda leaf: leaf[index], flat) for index in range(self._num_runs)]  # noqa: B023

    def calls(self, plan):
        """Yields `(start, stop, batches)` for every call of the plan, read ahead in the background."""

        def read(start, stop):
            batches = [feed.read(start, stop) for feed in self._feeds]
            return self._stack([_fill_up(steps, self.steps_per_call) for steps in batches])

        return data.prefetch(read, plan, place=lambda batches: self._place(batches, devices.AXIS))

    def step(self, batches, num_steps, signal_number):
        """Starts a call; returns the step after it, which is still being computed, and the signal."""
        self._state, self._tracker, done = self._run_steps(self._state, self._tracker, self._keys, batches, num_steps)
        return devices.start_copy(done), signal_number

    def states(self):
        """Returns the state of every run as NumPy arrays, fetched once per step."""
        if self._fetched[0] is not self._state:
            self._fetched = (self._state, self._split(self._state))
        return self._fetched[1]

    def trackers(self):
        """Returns the metrics of every run since the last log, as NumPy arrays."""
        return self._split(self._tracker)

    def take_trackers(self):
        """Resets the metrics; returns a function that waits for the metrics before the reset."""
        taken, self._tracker = self._tracker, self._zero_tracker
        for leaf in jax.tree.leaves(taken):
            leaf.copy_to_host_async()
        return lambda: self._split(taken)


def _fill_up(steps, steps_per_call):
    """Fills a short call with steps that are not run, so that every call has the shape that was compiled."""

    def fill(leaf):
        is_full = len(leaf) == steps_per_call  # np.resize would copy it
        return leaf if is_full else np.resize(leaf, (steps_per_call, *leaf.shape[1:]))

    return jax.tree.map(fill, steps)
