"""Resident and streamed data sets give the same batches, and the choice between them follows the documentation."""

import jax
import numpy as np
import pytest

from buresgan_jax import data
from buresgan_jax.data import DataMemory, make_feed
from buresgan_jax.errors import UserError
from buresgan_jax.training import devices

IMAGES = np.random.default_rng(0).integers(0, 256, (1030, 4, 4, 3), dtype=np.uint8)  # more than one chunk of loading
IMAGE_SOURCE = data.Source("images", len(IMAGES), IMAGES.shape[1:], IMAGES.__getitem__, data.decode_images)
FLIPPED = data.with_flips(IMAGE_SOURCE, True)._replace(name="flipped images")
ROOMY = DataMemory(10**9, 10**9)
ORDER = {"seed": 3, "batch_size": 8, "batches_per_update": 2}


def points(num_examples):
    return data.mixture_source(data.ring_mixture(), name="ring", num_examples=num_examples, seed=0)


def make(source, resident, memory=ROOMY, rows=slice(0, 8)):
    return make_feed(source, resident=resident, memory=memory, rows=rows, **ORDER)


def batches(feed, start, stop):
    """The decoded examples, and their numbers."""
    resident = [jax.device_put(array) for array in feed.load()]
    read, key = feed.read(start, stop), jax.random.key(0)
    payloads = [{name: leaf[number] for name, leaf in read.items()} for number in range(stop - start)]
    decoded = [jax.jit(feed.decode)(payload, key, *resident) for payload in payloads]
    return tuple(np.stack(part) for part in zip(*decoded, strict=True))


@pytest.mark.parametrize("source", [IMAGE_SOURCE, FLIPPED, points(50)], ids=lambda source: source.name)
@pytest.mark.parametrize("rows", [slice(0, 8), slice(2, 6)])
def test_a_resident_set_gives_the_batches_of_a_streamed_one(source, rows):
    resident, streamed = make(source, True, rows=rows), make(source, False, rows=rows)
    expected, index = batches(streamed, 1, 6)  # of the points three epochs
    assert expected.shape == (5, 2, rows.stop - rows.start, *source.example_shape)
    assert expected.dtype == np.float32
    for found, wanted in zip(batches(resident, 1, 6), (expected, index), strict=True):
        np.testing.assert_array_equal(found, wanted)
    plain = np.asarray(source.decode(source.fetch(index.ravel()))).reshape(expected.shape)
    if source.augment:
        assert not np.array_equal(plain, expected)
        plain = np.where((plain != expected).any((-3, -2, -1), keepdims=True), plain[..., ::-1, :], plain)
    np.testing.assert_array_equal(plain, expected)
    assert index.dtype == np.int32
    assert set(resident.read(1, 6)) == {"index"}
    assert streamed.load() == ()
    np.testing.assert_array_equal(resident.load()[0], source.fetch(np.arange(source.num_examples)))
    for feed in (resident, streamed):
        assert feed.bytes_per_update == sum(leaf.nbytes for leaf in feed.read(1, 2).values())


@pytest.mark.parametrize(
    ("source", "memory", "is_resident"),
    [
        (IMAGE_SOURCE, DataMemory(IMAGES.nbytes, IMAGES.nbytes), True),
        (IMAGE_SOURCE, DataMemory(IMAGES.nbytes - 1, 10**9), False),
        (points(50), DataMemory(50 * 2 * 4, 10**9), True),
        (points(None), ROOMY, False),
    ],
)
def test_by_default_a_set_that_fits_is_resident(source, memory, is_resident):
    assert bool(make(source, None, memory).load()) == is_resident


def test_a_small_set_is_resident_by_default_on_a_cpu_and_large_ones_may_be():
    memory = devices.data_memory()
    assert 10_000 * 2 * 4 < memory.default < memory.most


def test_a_set_that_cannot_be_resident_is_refused():
    with pytest.raises(UserError, match="'ring' is endless. Set data.num_examples, or data.resident=False"):
        make(points(None), True)
    big = IMAGE_SOURCE._replace(num_examples=10**9)
    make(big, True, DataMemory(0, None))  # no limit is known
    with pytest.raises(UserError, match=r"'images' takes 48.00 GB, but at most 1.00 GB of a device's memory may hold"):
        make(big, True)
