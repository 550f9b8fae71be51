"""From a source to batches on the device: the examples of each batch, and reading ahead in the background.

Every batch is a function of (seed, batch number) alone. So a resumed run sees the batches of an uninterrupted one, and
each process reads its own rows of the global batch without communication.
"""

import atexit
import functools
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from buresgan_jax.data._random import Stream, random_bits
from buresgan_jax.data.source import Source
from buresgan_jax.errors import UserError

T = TypeVar("T")
U = TypeVar("U")

_POLL_SECONDS = 0.1  # how often a waiting thread checks whether it should stop
_JOIN_SECONDS = 10.0  # a read that hangs for longer does not keep the program from ending


def batch_indices(num_examples: int | None, *, seed: int, batch_size: int, batch_number: int) -> np.ndarray:
    """Returns the indices of the examples of a batch.

    A finite data set is permuted anew in every epoch and cut into batches; the remainder of an epoch is dropped. An
    endless one is read in order.

    Args:
        num_examples: Size of the data set, or None if it is endless.
        seed: Seed of the permutations.
        batch_size: Size of the global batch.
        batch_number: Number of the batch since the start of training, from 0.

    Returns:
        int64, shape `[batch_size]`, a function of the arguments only.

    Raises:
        UserError: The batch is larger than the data set, or the seed is negative.
        ValueError: `batch_size` is below 1 or `batch_number` is negative.

    Note:
        The permutation of the current epoch stays in memory (8 bytes per example) for each of the last 1024 pairs of
        size and seed, so that many seeds can train side by side. Thread-safe.
    """
    if batch_size < 1 or batch_number < 0:
        raise ValueError(f"Need batch_size >= 1 and batch_number >= 0, got {batch_size} and {batch_number}.")
    if num_examples is None:
        return np.arange(batch_number * batch_size, (batch_number + 1) * batch_size, dtype=np.int64)
    if batch_size > num_examples:
        raise UserError(
            f"A batch of {batch_size} does not fit a data set of {num_examples} examples. "
            f"Set a batch size of at most {num_examples}, or use more data."
        )
    epoch, position = divmod(batch_number, num_examples // batch_size)
    return _epochs(num_examples, seed)(epoch)[position * batch_size : (position + 1) * batch_size]


@functools.lru_cache(maxsize=1024)
def _epochs(num_examples: int, seed: int) -> Callable[[int], np.ndarray]:
    """Returns a function from the number of an epoch to its permutation."""
    return functools.lru_cache(maxsize=1)(functools.partial(_epoch_permutation, num_examples, seed))


def _epoch_permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    bits = random_bits(np.arange(num_examples), seed=seed, stream=Stream.PERMUTATION, part=epoch)
    permutation = np.argsort(bits[:, 0], kind="stable")
    permutation.flags.writeable = False  # it is shared
    return permutation


def step_indices(
    num_examples: int | None,
    start: int,
    stop: int,
    *,
    seed: int,
    batch_size: int,
    batches_per_update: int,
    rows: slice,
) -> np.ndarray:
    """Returns the indices of this process's examples in all batches of the updates `start` to `stop - 1`.

    Args:
        num_examples: Size of the data set, or None if it is endless.
        start: The first update.
        stop: One past the last update.
        seed: Seed of the order of the examples.
        batch_size: Size of the global batch.
        batches_per_update: Update s uses the batches `s * batches_per_update` to `(s + 1) * batches_per_update - 1`.
        rows: This process's rows of every global batch.

    Returns:
        int64, shape `[stop - start, batches_per_update, rows]`. The results of all processes, concatenated along
        `rows`, are the global batches.

    Raises:
        UserError: The batch is larger than the data set, or the seed is negative.
    """
    numbers = range(start * batches_per_update, stop * batches_per_update)
    indices = [
        batch_indices(num_examples, seed=seed, batch_size=batch_size, batch_number=number)[rows] for number in numbers
    ]
    num_rows = len(range(*rows.indices(batch_size)))
    return np.array(indices, np.int64).reshape(stop - start, batches_per_update, num_rows)


def read_indices(source: Source, start: int, stop: int, **order) -> dict[str, np.ndarray]:
    """Computes the payload of a feed whose examples lie on the device.

    Args:
        source: The data set.
        start: The first update.
        stop: One past the last update.
        **order: See `step_indices`.

    Returns:
        `index`: int32, shape `[stop - start, batches_per_update, rows]`. Positions in an endless stream wrap around
        after 2^32 examples.
    """
    return {"index": step_indices(source.num_examples, start, stop, **order).astype(np.int32)}


def read_steps(source: Source, start: int, stop: int, **order) -> dict[str, np.ndarray]:
    """Reads the payload of a feed that streams its examples.

    Args:
        source: The data set.
        start: The first update.
        stop: One past the last update.
        **order: See `step_indices`.

    Returns:
        `index` as of `read_indices`, and `examples`, shape `[stop - start, batches_per_update, rows, *example_shape]`,
        undecoded.
    """
    indices = step_indices(source.num_examples, start, stop, **order)
    # One fetch for all: sources read many examples at once faster than few at a time.
    examples = source.fetch(indices.ravel()).reshape(*indices.shape, *source.example_shape)
    return {"examples": examples, "index": indices.astype(np.int32)}


def prefetch(
    read: Callable[[int, int], T], plan: Iterable[tuple[int, int]], *, place: Callable[[T], U], depth: int = 2
) -> Iterator[tuple[int, int, U]]:
    """Reads ahead in a background thread.

    Args:
        read: `(start, stop)` -> the data of the updates `start` to `stop - 1`, on the host.
        plan: The `(start, stop)` pairs, in the order in which they are consumed; may be endless.
        place: Puts the data on the devices. Runs in the background thread too, so it does not see context managers of
            the caller's thread, such as `jax.enable_x64` and `jax.default_device`.
        depth: Largest number of results that wait. Two more can exist: one that is being made and one that the consumer
            holds.

    Returns:
        An iterator over `(start, stop, place(read(start, stop)))`. Exceptions of `read`, `place` and `plan` are raised
        by `next`. `close()`, dropping the last reference, or the end of the program stops the thread.

    Raises:
        ValueError: `depth` is below 1.
    """
    return _Prefetcher(read, plan, place, depth)


class _Prefetcher(Generic[U]):
    """The iterator of `prefetch`."""

    def __init__(
        self, read: Callable[[int, int], T], plan: Iterable[tuple[int, int]], place: Callable[[T], U], depth: int
    ):
        if depth < 1:
            raise ValueError(f"Need depth >= 1, got {depth}.")
        self._results = queue.Queue(maxsize=depth)
        stopped = threading.Event()
        # The thread holds no reference to self, which could never be collected otherwise. It is a daemon, because the
        # interpreter joins other threads before it runs anything that could stop this one.
        arguments = (read, plan, place, self._results, stopped)
        thread = threading.Thread(target=_run_ahead, args=arguments, name="prefetch", daemon=True)
        self._stop = weakref.finalize(self, _stop_thread, thread, stopped)
        # At exit the thread must end before jax shuts its backends down. atexit runs the last registered function
        # first, while finalize's own exit hook may have been registered before jax's.
        atexit.register(self._stop)
        thread.start()

    def __iter__(self) -> "_Prefetcher[U]":
        return self

    def __next__(self) -> tuple[int, int, U]:
        while self._stop.alive:  # a signal handler may close the iterator while this waits
            try:
                result, error = self._results.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if result is not None:
                return result
            self.close()
            if error is not None:
                raise error
        raise StopIteration

    def close(self) -> None:
        """Stops the background thread; the iterator is exhausted afterwards."""
        self._stop()
        atexit.unregister(self._stop)
        self._results = queue.Queue()  # frees what was read ahead


def _run_ahead(read: Callable, plan: Iterable, place: Callable, results: queue.Queue, stopped: threading.Event) -> None:
    """Puts `(result, None)` for every entry of the plan, then `(None, error or None)`."""
    try:
        for start, stop in plan:
            if not _put(results, ((start, stop, place(read(start, stop))), None), stopped):
                return
    except BaseException as error:  # noqa: B036 (it is raised again, in the consumer)
        _put(results, (None, error), stopped)
    else:
        _put(results, (None, None), stopped)


def _put(results: queue.Queue, item: tuple, stopped: threading.Event) -> bool:
    """Waits for room in the queue; returns False if the thread should stop instead."""
    while not stopped.is_set():
        try:
            results.put(item, timeout=_POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False


def _stop_thread(thread: threading.Thread, stopped: threading.Event) -> None:
    stopped.set()
    # The garbage collector may run this in the background thread itself.
    if thread is not threading.current_thread() and thread.is_alive():
        thread.join(_JOIN_SECONDS)
