"""Feeds bring batches to the training step, from the host or from a data set that lies on the device."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from buresgan_jax.data.pipeline import read_indices, read_steps
from buresgan_jax.data.source import Source
from buresgan_jax.errors import UserError
from buresgan_jax.runtime import progress_bar

_CHUNK = 1024  # examples that are loaded at once: enough for all threads of a decoder


class Feed(NamedTuple):
    """The batches of a run, split into work on the host and on the device. Both kinds of feed give the same batches.

    Attributes:
        read: On the host, `(start, stop)` -> the payload of the updates `start` to `stop - 1`: a dict of arrays
            `[stop - start, batches_per_update, rows, ...]`, `rows` being this process's rows of the global batch.
            `index`, int32, holds the numbers of the examples; `examples` is absent if they lie on the device.
        decode: On the device, `(payload, key, *resident)` -> `(examples, index)`, the batches of one update from its
            part of the payload: examples `[batches_per_update, batch, *example_shape]` as the networks see them, and
            their numbers `[batches_per_update, batch]`. The key is for augmentation.
        load: On the host, `()` -> the arrays `resident`, which lie on every device throughout; may take minutes.
        bytes_per_update: Size of the payload of one update.
    """

    read: Callable[[int, int], dict[str, np.ndarray]]
    decode: Callable[..., tuple[jax.Array, jax.Array]]
    load: Callable[[], tuple[np.ndarray, ...]]
    bytes_per_update: int


class DataMemory(NamedTuple):
    """Limits on the size of a resident data set, in bytes of a device's memory.

    Attributes:
        default: Up to this size a data set is resident unless the config says otherwise.
        most: Up to this size it may be. None: no limit is known.
    """

    default: int
    most: int | None


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
    """Streams a data set from the host, or keeps it on the device.

    Args:
        source: The data set.
        resident: Whether the whole set, undecoded (uint8 images, float32 points), lies on every device, so that only
            the numbers of the examples are sent. None: if it is finite and fits `memory.default`.
        memory: Limits on the size of a resident set.
        seed: Seed of the order of the examples.
        batch_size: Size of the global batch.
        batches_per_update: Number of batches that one update consumes.
        rows: This process's rows of every global batch.

    Returns:
        The feed; nothing is loaded yet.

    Raises:
        UserError: `resident` is True, but the set is endless or larger than `memory.most`.
    """
    order = {"seed": seed, "batch_size": batch_size, "batches_per_update": batches_per_update, "rows": rows}
    num_rows = batches_per_update * len(range(*rows.indices(batch_size)))
    dtype = source.fetch(np.zeros(0, np.int64)).dtype
    example_bytes, index_bytes = int(np.prod(source.example_shape)) * dtype.itemsize, np.dtype(np.int32).itemsize
    decode = partial(decode_payload, source)
    if not _is_resident(source, resident, example_bytes, memory):
        return Feed(partial(read_steps, source, **order), decode, tuple, num_rows * (example_bytes + index_bytes))
    return Feed(partial(read_indices, source, **order), decode, partial(_load, source, dtype), num_rows * index_bytes)


def decode_payload(
    source: Source, payload: dict[str, jax.Array], key: jax.Array, *resident: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Makes the batches of one update on the device; `Feed.decode` for a source.

    Args:
        source: The data set.
        payload: One update's part of what `Feed.read` returns.
        key: Key of the augmentation; unused without one.
        *resident: The whole data set, undecoded, if the payload has no examples.

    Returns:
        The decoded examples, and their numbers.
    """
    index = payload["index"]
    examples = resident[0].at[index].get(mode="promise_in_bounds") if resident else payload["examples"]
    decoded = source.decode(examples)
    return decoded if source.augment is None else source.augment(decoded, key, index), index


def _load(source: Source, dtype: np.dtype) -> tuple[np.ndarray]:
    examples = np.empty((source.num_examples, *source.example_shape), dtype)
    starts, options = range(0, len(examples), _CHUNK), {"unit_scale": _CHUNK, "leave": True}
    for start in progress_bar.track(starts, description="Loading the data set", **options):
        chunk = np.arange(start, min(start + _CHUNK, len(examples)))
        examples[chunk] = source.fetch(chunk)
    return (examples,)


def _is_resident(source: Source, wanted: bool | None, example_bytes: int, memory: DataMemory) -> bool:
    num_bytes = None if source.num_examples is None else source.num_examples * example_bytes
    if not wanted:
        return wanted is None and num_bytes is not None and num_bytes <= memory.default
    if num_bytes is None:
        raise UserError(
            f"data.resident=True needs a finite data set, but {source.name!r} is endless. Set data.num_examples, or "
            "data.resident=False."
        )
    if memory.most is not None and num_bytes > memory.most:
        raise UserError(
            f"data.resident=True: {source.name!r} takes {num_bytes / 1e9:.2f} GB, but at most "
            f"{memory.most / 1e9:.2f} GB of a device's memory may hold a run's data. Set data.resident=False."
        )
    return True
