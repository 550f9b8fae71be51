"""How batches reach the training step: streamed from the host, or picked from a data set that lies on the device."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import tqdm

from buresgan_jax.data.pipeline import read_steps, step_indices
from buresgan_jax.data.source import Source
from buresgan_jax.errors import UserError

_CHUNK = 1024  # examples that are loaded at once: enough for all threads of a decoder


class Feed(NamedTuple):
    """The batches of a run, in a part for the host and one for the device. Both kinds of feed give the same batches.

    Attributes:
        read: on the host, `(start, stop)` -> what the updates from `start` to before `stop` need, shape
            `[stop - start, batches_per_update, rows, ...]`, `rows` being this process's rows of the global batch.
        decode: on the device, `(payload, *resident)` -> real batches `[batches_per_update, batch, *example_shape]`;
            `payload` is one update's part of what was read.
        load: on the host, `()` -> the arrays `resident` that lie on every device throughout; may take minutes.
        bytes_per_update: size of what is read for one update.
    """

    read: Callable[[int, int], np.ndarray]
    decode: Callable[..., jax.Array]
    load: Callable[[], tuple[np.ndarray, ...]]
    bytes_per_update: int


class DataMemory(NamedTuple):
    """How many bytes of a device's memory a resident data set may take: wherever it gains, and at most."""

    default: int
    most: int


def make_feed(
    source: Source,
    *,
    resident: bool | None,
    memory: DataMemory,
    seed: int,
    batch_size: int,
    batches_per_update: int,
    rows: slice,
) -> Feed:
    """Streams a data set, or lets it lie on the device.

    Args:
        source: the data set.
        resident: whether the whole set, as the source has it (uint8 images, float32 points), lies on every device, so
            that a call gets nothing but int32 indices. None: where it ends and fits `memory.default`.
        memory: of a device, for data.
        seed: of the order of the examples.
        batch_size: size of the global batch.
        batches_per_update: real batches that one update consumes.
        rows: this process's part of every global batch.

    Returns:
        The feed; nothing is loaded yet.

    Raises:
        UserError: `resident` is True, and the set is endless or needs more than `memory.most`.
    """
    order = {"seed": seed, "batch_size": batch_size, "batches_per_update": batches_per_update, "rows": rows}
    num_rows = batches_per_update * len(range(*rows.indices(batch_size)))
    dtype = source.fetch(np.zeros(0, np.int64)).dtype
    example_bytes = int(np.prod(source.example_shape)) * dtype.itemsize
    if not _is_resident(source, resident, example_bytes, memory):
        return Feed(partial(read_steps, source, **order), source.decode, tuple, num_rows * example_bytes)

    def read(start: int, stop: int) -> np.ndarray:
        return step_indices(source.num_examples, start, stop, **order).astype(np.int32)

    def decode(indices: jax.Array, examples: jax.Array) -> jax.Array:
        return source.decode(examples.at[indices].get(mode="promise_in_bounds"))

    def load() -> tuple[np.ndarray]:
        examples = np.empty((source.num_examples, *source.example_shape), dtype)
        # Silent for the first seconds, and where nobody watches.
        chunks = tqdm.trange(
            0, len(examples), _CHUNK, desc="Loading the data set", unit_scale=_CHUNK, delay=3, disable=None
        )
        for start in chunks:
            chunk = np.arange(start, min(start + _CHUNK, len(examples)))
            examples[chunk] = source.fetch(chunk)
        return (examples,)

    return Feed(read, decode, load, num_rows * np.dtype(np.int32).itemsize)


def _is_resident(source: Source, wanted: bool | None, example_bytes: int, memory: DataMemory) -> bool:
    num_bytes = None if source.num_examples is None else source.num_examples * example_bytes
    if not wanted:
        return wanted is None and num_bytes is not None and num_bytes <= memory.default
    if num_bytes is None:
        raise UserError(
            f"data.resident=True needs a data set that ends, {source.name!r} does not. Set data.num_examples, or "
            "data.resident=False."
        )
    if num_bytes > memory.most:
        raise UserError(
            f"data.resident=True: {source.name!r} takes {num_bytes / 1e9:.2f} GB, of a device's memory "
            f"{memory.most / 1e9:.2f} GB are for data of a run. Set data.resident=False."
        )
    return True
