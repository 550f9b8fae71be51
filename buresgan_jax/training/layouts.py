"""Layouts of runs on devices: one run over all of them, or several runs that advance together.

Both have `runs`, `where` and `steps_per_call`, send a call of steps to the devices and return its results; the training
loop knows nothing else about them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax import builders, data
from buresgan_jax.runtime.signals import StopSignals
from buresgan_jax.training import devices
from buresgan_jax.training.run import Run


class DataParallel:
    """One run whose batch is split over all devices of all processes.

    Attributes:
        runs: The single run.
        where: Its workdir, for messages.
        steps_per_call: Updates in one call.
    """

    def __init__(self, run: Run, layout: devices.Layout, signals: StopSignals):
        """Places state and data on the devices."""
        self.runs, self.where = [run], run.workdir
        feed, run.feed = run.feed, None  # what lies on the devices need not stay on the host
        self.steps_per_call = devices.choose_steps_per_call(
            run.config.training.steps_per_call, builders.describe(run.config).example_shape, feed.bytes_per_update
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
        """Iterates over `(start, stop, batches)` for every call of the plan, read ahead in the background."""

        def read(start, stop):
            return self._layout.split(_fill_up(self._read(start, stop), self.steps_per_call))

        return data.prefetch(read, plan, place=lambda batches: devices.on_local_devices(batches, devices.AXIS))

    def step(self, batches, num_steps, signal_number):
        """Starts a call; returns, without waiting for it, its last step and a signal that any process has noticed."""
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
        """Resets the metrics; returns a function that waits for the values of `trackers` before the reset."""
        taken, self._tracker = devices.start_copy(self._tracker), self._zero_tracker
        return lambda: [jax.tree.map(np.asarray, taken)]


class Stacked:
    """Several runs that advance together, under one `vmap` on each device of this process.

    Their configs differ in traced values only: the seed, learning rates, weights. If the devices cannot have equally
    many runs, copies of the last run fill up. A resident data set that is the same for all runs lies once on each
    device.

    Attributes:
        runs: The runs.
        where: The folder that holds them, for messages.
        steps_per_call: Updates in one call.
    """

    def __init__(self, runs: list[Run], where):
        """Places states and data on the devices."""
        self.runs, self.where = runs, where
        self._feeds = [run.feed for run in runs]
        feed, config = self._feeds[0], runs[0].config
        used = jax.local_devices()[: len(runs)]
        self._shape = (len(used), -(-len(runs) // len(used)))
        self._place = functools.partial(devices.on_local_devices, devices=used)
        shape, num_bytes = builders.describe(config).example_shape, feed.bytes_per_update * self._shape[1]
        self.steps_per_call = devices.choose_steps_per_call(config.training.steps_per_call, shape, num_bytes)
        run_steps = devices.make_run_steps(builders.algorithm(config), feed.decode, self.steps_per_call)
        resident, is_shared = self._load()
        self._run_steps = devices.over_runs(run_steps, used, resident, is_shared=is_shared)
        stacked = self._stack([(run.state, run.tracker) for run in runs])
        self._state, self._tracker = self._place(stacked, devices.AXIS)
        self._zero_tracker = self._place(jax.tree.map(np.zeros_like, stacked[1]), devices.AXIS)
        self._keys = self._place(self._stack([run.key for run in runs], jnp), devices.AXIS)
        self._fetched = (None, None)  # a state and its parts

    def _load(self):
        """Returns the resident data on the devices, and whether all runs have the same."""
        is_shared = len({builders.source_key(run.config) for run in self.runs}) == 1
        loaded = [feed.load() for feed in self._feeds[: 1 if is_shared else None]]
        if is_shared:
            return self._place(loaded[0]), True
        return self._place(self._stack(loaded), devices.AXIS), False

    def _stack(self, trees, numpy=np):
        """Stacks the leaves of trees, one per run, to `[devices, runs per device, ...]`."""
        trees = trees + [trees[-1]] * (self._shape[0] * self._shape[1] - len(trees))
        return jax.tree.map(lambda *leaves: numpy.stack(leaves).reshape(*self._shape, *leaves[0].shape), *trees)

    def _split(self, tree):
        """Undoes `_stack`: one tree of NumPy arrays per run."""
        flat = jax.tree.map(lambda leaf: (array := np.asarray(leaf)).reshape(-1, *array.shape[2:]), tree)
        return [jax.tree.map(lambda leaf: leaf[index], flat) for index in range(len(self.runs))]  # noqa: B023

    def calls(self, plan):
        """Iterates over `(start, stop, batches)` for every call of the plan, read ahead in the background."""

        def read(start, stop):
            return self._stack([_fill_up(feed.read(start, stop), self.steps_per_call) for feed in self._feeds])

        return data.prefetch(read, plan, place=lambda batches: self._place(batches, devices.AXIS))

    def step(self, batches, num_steps, signal_number):
        """Starts a call; returns its last step, without waiting for it, and the signal: there is one process."""
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
        """Resets the metrics; returns a function that waits for the values of `trackers` before the reset."""
        taken, self._tracker = self._tracker, self._zero_tracker
        for leaf in jax.tree.leaves(taken):
            leaf.copy_to_host_async()
        return lambda: self._split(taken)


def _fill_up(batches, steps_per_call):
    """Pads a short call with steps that are not run, so that every call has the shape that was compiled."""

    def fill(leaf):
        is_full = len(leaf) == steps_per_call  # np.resize would copy it
        return leaf if is_full else np.resize(leaf, (steps_per_call, *leaf.shape[1:]))

    return jax.tree.map(fill, batches)
