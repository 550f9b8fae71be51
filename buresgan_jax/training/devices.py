"""Training steps on devices: the only place that applies `jax.pmap`, to a function of one device's rows of a batch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from flax import struct

from buresgan_jax import data
from buresgan_jax.algorithms import Algorithm, Batch, GANState
from buresgan_jax.runtime import memory

AXIS = "batch"
_SMALL_DATA = 16 * 2**20  # bytes; all mixtures of points
_CALL_BYTES = 64 * 2**20  # limit for the batches of one call; a few calls wait in memory
_DECODE = 2**31 - 4  # folded into a step's key for decoding, far from the numbers and splits of any update


@struct.dataclass
class Tracker:
    """Sums of the metrics since the last log; stays on the devices between logs.

    Attributes:
        sums: Sum of each metric.
        count: Number of steps in the sums.
        first_bad: The first step (counted from 1) at which each metric was not finite; 0 if there is none.
    """

    sums: dict[str, jax.Array]
    count: jax.Array
    first_bad: dict[str, jax.Array]


def axis() -> str | None:
    """Returns the axis to build an algorithm with; None for a single device, where collectives would only be copies.

    Without these copies the ring's steps on a CPU take 0.93 (GAN) and 0.98 (BuresGAN) of the time.
    """
    return AXIS if jax.device_count() > 1 else None


def batch_like(algorithm: Algorithm, size: int, example_shape: tuple[int, ...]) -> Batch:
    """Returns the shapes of the batches of one update, with `size` examples each."""
    rows = (algorithm.batches_per_update, size)
    return Batch(jax.ShapeDtypeStruct((*rows, *example_shape), jnp.float32), jax.ShapeDtypeStruct(rows, jnp.int32))


def state_like(algorithm: Algorithm, example_shape: tuple[int, ...]) -> GANState:
    """Returns the shapes of an algorithm's state; nothing is computed."""
    example = jax.ShapeDtypeStruct(example_shape, jnp.float32)
    return jax.eval_shape(algorithm.init, jax.random.key(0), example, algorithm.prepared_like)


def make_tracker(algorithm: Algorithm, state: GANState, batch: Batch) -> Tracker:
    """Makes a tracker of zeros for the metrics of an algorithm that was built without an axis."""
    return trace_update(algorithm, state, batch)[0]


def trace_update(algorithm: Algorithm, state: GANState, batch: Batch) -> tuple[Tracker, jax.extend.core.ClosedJaxpr]:
    """Traces an update; returns a tracker of zeros for its metrics, and its program."""
    program, (_, metrics) = jax.make_jaxpr(algorithm.update, return_shape=True)(state, batch, jax.random.key(0))
    sums = {name: np.zeros((), np.float32) for name in metrics}
    return Tracker(sums, np.zeros((), np.int32), {name: np.zeros((), np.int32) for name in metrics}), program


def make_run_steps(algorithm: Algorithm, decode: Callable, steps_per_call: int) -> Callable:
    """Makes a function that runs several steps on one device's rows of the batches.

    The steps are a loop of dynamic length, so that one compiled program serves calls of any length and computes the
    same bits.

    Args:
        algorithm: The algorithm.
        decode: Makes the batches of one step, see `data.Feed`.
        steps_per_call: Largest number of steps in one call.

    Returns:
        `(state, tracker, key, batches, num_steps, *resident) -> (state, tracker, step)`. `batches` is a payload of the
        feed, a tree of arrays `[steps_per_call, batches_per_update, batch, ...]`, of which the first `num_steps` steps
        are run.
    """

    def one_step(number, carry, batches, key, resident):
        state, tracker = carry
        payload = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, number, keepdims=False), batches)
        step_key = jax.random.fold_in(key, state.step)
        batch = Batch(*decode(payload, jax.random.fold_in(step_key, _DECODE), *resident))
        state, metrics = algorithm.update(state, batch, step_key)
        first_bad = {
            name: jnp.where((tracker.first_bad[name] == 0) & ~jnp.isfinite(value), state.step, tracker.first_bad[name])
            for name, value in metrics.items()
        }
        sums = {name: tracker.sums[name] + value.astype(jnp.float32) for name, value in metrics.items()}
        return state, Tracker(sums, tracker.count + 1, first_bad)

    def run_steps(state, tracker, key, batches, num_steps, *resident):
        step = partial(one_step, batches=batches, key=key, resident=resident)
        if steps_per_call == 1:  # a loop would only cost: XLA runs convolutions in a loop's body on one thread
            state, tracker = step(0, (state, tracker))
        else:
            state, tracker = jax.lax.fori_loop(0, num_steps, step, (state, tracker))
        return state, tracker, state.step + 0  # a copy: the state itself is donated to the next call

    return run_steps


def over_devices(
    run_steps: Callable, devices: Sequence[jax.Device] | None = None, resident: tuple[jax.Array, ...] = ()
) -> Callable:
    """Applies pmap to one run: batches are split over devices, and everything else is equal on all of them.

    The state is donated. The tracker is not: the log reads it while the next calls run, and its few scalars cost
    nothing.

    Args:
        run_steps: A function of `make_run_steps`, for an algorithm built with the axis `axis()`.
        devices: Devices of all processes. Default: all devices.
        resident: Last arguments of `run_steps`, the same in every call.

    Returns:
        `(state, tracker, key, batches, num_steps, stop) -> (state, tracker, (step, stop))`. `stop` is the number of a
        signal or 0, int32, `[local_devices]`; the result is the largest of all processes, so that all of them learn of
        a signal to one after the same call, without waiting for each other.
    """

    def run(state, tracker, key, batches, num_steps, stop, *resident):
        state, tracker, step = run_steps(state, tracker, key, batches, num_steps, *resident)
        return state, tracker, (step, jax.lax.pmax(stop, AXIS))

    axes = (None, None, None, 0, None, 0, *(None for _ in resident))
    mapped = jax.pmap(run, axis_name=AXIS, in_axes=axes, out_axes=None, donate_argnums=0, devices=devices)
    return (lambda *inputs: mapped(*inputs, *resident)) if resident else mapped


def over_runs(
    run_steps: Callable,
    devices: Sequence[jax.Device],
    resident: tuple[jax.Array, ...] = (),
    *,
    is_shared: bool = False,
) -> Callable:
    """Applies pmap to several runs: each device trains its own under one `vmap`, without communication.

    States are donated.

    Args:
        run_steps: A function of `make_run_steps`, for an algorithm built without an axis.
        devices: Devices of this process.
        resident: Last arguments of `run_steps`, the same in every call.
        is_shared: Whether all runs have the same `resident`.

    Returns:
        `(state, tracker, key, batches, num_steps) -> (state, tracker, step)`. All but `num_steps` and `step` have
        leading axes `[devices, runs per device]`, and so has `resident` unless it is shared.
    """
    axes = (0, 0, 0, 0, None, *(None if is_shared else 0 for _ in resident))

    def run(*inputs):
        state, tracker, step = jax.vmap(run_steps, axes)(*inputs)
        return state, tracker, step[0]

    mapped = jax.pmap(run, AXIS, in_axes=axes, out_axes=(0, 0, None), donate_argnums=0, devices=devices)
    return (lambda *inputs: mapped(*inputs, *resident)) if resident else mapped


def on_local_devices(tree, *axes: str, devices: Sequence[jax.Device] | None = None):
    """Places arrays on this process's devices, or some of them: whole, or split along the first axis with `AXIS`.

    Without this, the first call of a pmapped function on NumPy arrays and the next one on its own results would each
    compile.
    """
    mesh = jax.sharding.Mesh(devices or jax.local_devices(), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.P(*axes)))


def data_memory(copies: int = 1) -> data.DataMemory:
    """Returns the limits on each of several resident data sets in one device's memory.

    Together they may fill a quarter of the memory that this process has there: parameters and activations need the
    rest. On a CPU only small sets are resident by default: the source already keeps decoded pixels in the same memory,
    and the time to read them is negligible compared with a step on images. So are they where the memory is unknown,
    but there any size may be tried.

    Args:
        copies: Number of resident data sets per device.
    """
    there = device_bytes()
    most = None if there is None else there // 4 // copies
    is_small = most is None or jax.default_backend() == "cpu"
    return data.DataMemory(_SMALL_DATA // copies if is_small else most, most)


def device_bytes() -> int | None:
    """Returns the memory of a device that this process may use; CPU devices share the host's. None: it is unknown."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if limit := stats.get("bytes_limit"):
        return limit
    return memory.host_bytes() // jax.local_device_count() if jax.default_backend() == "cpu" else None


def choose_steps_per_call(wanted: int | None, example_shape: tuple[int, ...], bytes_per_update: int) -> int:
    """Returns the number of updates in one call of the devices.

    Args:
        wanted: The user's choice. None: 100 updates on points and 20 on images, or fewer if the batches are large. On a
            CPU one update on images: XLA runs convolutions in the body of a loop on one thread, and a step takes long
            enough.
        example_shape: Shape of one example.
        bytes_per_update: Size of the payload that the host sends for one update.
    """
    if wanted is not None:
        setting, needed = f"config.training.steps_per_call={wanted}", wanted * bytes_per_update
        memory.require(setting, "the batches of a call", needed, memory.host_bytes())
        return wanted
    if len(example_shape) == 1:
        most = 100
    else:
        most = 1 if jax.default_backend() == "cpu" else 20
    return max(1, min(most, _CALL_BYTES // bytes_per_update))


class Layout(NamedTuple):
    """The split of the global batch over processes and devices.

    Attributes:
        batch_size: Size of the global batch.
        rows: This process's rows.
        local_devices: Number of devices of this process.
    """

    batch_size: int
    rows: slice
    local_devices: int

    @classmethod
    def create(cls, batch_size: int) -> "Layout":
        """Splits the batch over all devices, in the order of the device axis."""
        devices, local = jax.device_count(), jax.local_device_count()
        if batch_size % devices:
            raise ValueError(f"batch_size {batch_size} is not divisible by the {devices} devices.")
        size = batch_size // jax.process_count()
        return cls(batch_size, slice(jax.process_index() * size, (jax.process_index() + 1) * size), local)

    def split(self, batches):
        """Splits the rows of a feed's payload over the devices of this process.

        Args:
            batches: Tree of arrays `[steps, batches_per_update, rows, ...]`.

        Returns:
            The same tree of arrays `[local_devices, steps, batches_per_update, batch, ...]`.
        """
        return jax.tree.map(self._split, batches)

    def _split(self, leaf: np.ndarray) -> np.ndarray:
        steps, per_update, rows, *shape = leaf.shape
        split = leaf.reshape(steps, per_update, self.local_devices, rows // self.local_devices, *shape)
        return np.ascontiguousarray(np.moveaxis(split, 2, 0))


def start_copy(tree):
    """Starts copying arrays that are equal on all devices to the host; `on_host` of the result waits for the copies.

    Returns:
        This process's part of each array. The copies belong to it, and would be lost with the arrays themselves.
    """
    parts = jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
    for part in jax.tree.leaves(parts):
        part.copy_to_host_async()
    return parts


def on_host(tree):
    """Returns this process's copy, as NumPy arrays, of arrays that are equal on all devices."""
    return jax.tree.map(np.asarray, start_copy(tree))
