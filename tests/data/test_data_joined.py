"""Several sets in one: which example is from where, their sizes, and what cannot be joined."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers import load_config
from PIL import Image

from buresgan_jax import builders, data
from buresgan_jax.errors import UserError


def make_source(name, value, num, shape=(4, 4, 3)):
    """Images whose pixels are `value` plus their number."""

    def fetch(indices):
        return np.broadcast_to((value + indices).astype(np.uint8).reshape(-1, 1, 1, 1), (len(indices), *shape))

    return data.Source(name, num, shape, fetch, data.decode_images, lambda indices: indices * 0 + 7)


def test_examples_and_labels_are_those_of_the_set_that_they_are_from():
    source = data.joined_source([make_source("a", 0, 3), make_source("b", 100, 5), make_source("c", 200, 2)])
    assert (source.name, source.num_examples, source.example_shape, source.num_classes) == ("a+b+c", 10, (4, 4, 3), 3)
    expected = [0, 1, 2, 100, 101, 102, 103, 104, 200, 201]
    assert source.fetch(np.arange(10))[:, 1, 2, 0].tolist() == expected
    order = np.array([9, 3, 2, 2, 7])
    assert source.fetch(order)[:, 0, 0, 1].tolist() == [expected[index] for index in order]
    assert source.labels(order).tolist() == [2, 1, 0, 0, 1]
    assert (source.fetch(order).dtype, source.labels(order).dtype) == (np.uint8, np.int64)
    assert source.fetch(np.zeros(0, int)).shape == (0, 4, 4, 3)


def test_at_most_so_many_examples_of_each_set_are_taken():
    source = data.joined_source([make_source("a", 0, 3), make_source("b", 100, 5)], num_per_set=4)
    assert source.num_examples == 7
    assert source.fetch(np.arange(7))[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102, 103]


@pytest.mark.parametrize(
    ("sources", "num", "message"),
    [
        ([make_source("a", 0, 3)], None, "two sets or more, got a"),
        ([make_source("a", 0, 3), make_source("b", 0, 3, (4, 4, 1))], None, "Cannot join a, b: .*shapes"),
        ([make_source("a", 0, 3), make_source("b", 0, None)], None, "Cannot join 'b': it is endless"),
        ([make_source("a", 0, 3), make_source("b", 0, 9)], 0, "num_per_set 0 of a, b is below 1"),
    ],
)
def test_what_cannot_be_joined_is_refused(sources, num, message):
    with pytest.raises(UserError, match=message):
        data.joined_source(sources, num_per_set=num)


@pytest.mark.parametrize("sets", ["", "cifar10", "cifar10,cifar10"])
def test_fewer_than_two_different_names_are_refused(sets):
    config = load_config("cifar_fashion", "gan")
    config.data.sets = sets
    with pytest.raises(UserError, match="config.data.sets=.*: name two different TFDS data sets or more"):
        builders.describe(config)


def prepare(name, folder, num):
    """Lets the real builder write pictures, all of one value that is their number; no download."""
    builder = tfds.builder_cls(name)(data_dir=folder, file_format="array_record")
    shape = builder.info.features["image"].shape

    extra = {"id": ""} if "id" in builder.info.features else {}

    def generate():
        for index in range(num):
            pixels = np.full(shape, index, np.uint8).squeeze()
            yield index, {"image": Image.fromarray(pixels), "label": 0, **extra}

    builder._split_generators = lambda _: {"train": generate()}
    builder.download_and_prepare()


def test_the_config_joins_color_and_gray_sets(tmp_path):
    config = load_config("cifar_fashion", "bourgan")
    config.data.update({"data_dir": str(tmp_path), "num_per_set": 6})
    with pytest.raises(UserError, match="'cifar10' is not prepared .*Run: python -m buresgan_jax.prepare cifar10 "):
        builders.source(config)
    prepare("cifar10", tmp_path, 8)
    with pytest.raises(UserError, match="'fashion_mnist' is not prepared .*prepare fashion_mnist ") as error:
        builders.source(config)
    assert "\n" not in str(error.value)
    prepare("fashion_mnist", tmp_path, 7)
    source = builders.source(config)
    assert (source.num_examples, source.example_shape, source.num_classes) == (12, (32, 32, 3), 2)
    assert builders.describe(config).num_classes == 2
    images = source.fetch(np.arange(12))
    assert (images == images[:, :1, :1, :1]).all()
    assert len(np.unique(images[:6, 0, 0, 0])) == len(np.unique(images[6:, 0, 0, 0])) == 6
    assert source.labels(np.arange(12)).tolist() == [0] * 6 + [1] * 6
    assert builders.data_fingerprint(config).count("pictures in train") == 2
    config.data.num_per_set = None
    assert builders.source(config).num_examples == 15
