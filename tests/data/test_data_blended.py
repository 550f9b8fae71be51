"""Blends of two classes: which images they are made of, by which weights, and that they are a class of their own."""

import numpy as np
import pytest

from buresgan_jax import data
from buresgan_jax.errors import UserError

VALUES = np.array([10, 110, 250])  # the pixels of the three classes


def make_source(labels):
    """Images of one value each, that of their class."""
    labels = np.asarray(labels)

    def fetch(indices):
        return np.broadcast_to(VALUES[labels[indices]].reshape(-1, 1, 1, 1), (len(indices), 8, 12, 3)).astype(np.uint8)

    return data.Source("colors", len(labels), (8, 12, 3), fetch, data.decode_images, labels.__getitem__, num_classes=3)


def test_images_come_first_and_then_blends_as_one_class_more():
    indices = np.array([7, 0, 5, 1, 2, 8])
    blended = data.blended_source(make_source([0, 1, 2] * 3), indices, seed=3)
    assert (blended.num_examples, blended.num_classes, blended.name) == (8, 4, "colors and blends")
    assert blended.labels(np.arange(8)).tolist() == [1, 0, 2, 1, 2, 2, 3, 3]
    np.testing.assert_array_equal(blended.fetch(np.arange(6))[:, 3, 4, 1], VALUES[[1, 0, 2, 1, 2, 2]])
    assert blended.fetch(np.zeros(0, int)).shape == (0, 8, 12, 3)


def test_a_blend_depends_on_its_number_and_the_seed_only():
    source = make_source([0, 1, 2] * 100)
    blended, other = (data.blended_source(source, np.arange(300), seed=seed) for seed in (0, 1))
    numbers = np.arange(300, 400)
    all_at_once = blended.fetch(numbers)
    np.testing.assert_array_equal(np.concatenate([blended.fetch(numbers[:7]), blended.fetch(numbers[7:])]), all_at_once)
    np.testing.assert_array_equal(blended.fetch(numbers[::-1]), all_at_once[::-1])
    assert (other.fetch(numbers) != all_at_once).any((1, 2, 3)).mean() > 0.9


def test_each_kind_of_blend_lies_between_two_different_classes():
    source = make_source([0, 1, 2] * 300)
    images = data.blended_source(source, np.arange(900), seed=0).fetch(np.arange(900, 1200)).astype(int)
    assert (images == images[..., :1]).all()  # one weight for all channels
    even, smooth, hard = (images[kind::3, ..., 0] for kind in range(3))
    assert (even == even[:, :1, :1]).all()
    pairs = [(a, b) for a in VALUES for b in VALUES if a < b]
    inside = [(a + 0.3 * (b - a) - 0.5 <= even[:, 0, 0]) & (even[:, 0, 0] <= a + 0.7 * (b - a) + 0.5) for a, b in pairs]
    assert np.any(inside, axis=0).all()
    assert (np.ptp(smooth, axis=(1, 2)) > 10).all()
    assert np.abs(np.diff(smooth, axis=2)).max() < 100  # 240 from pixel to pixel if it were hard
    for image in hard:
        found = set(np.unique(image))
        assert found <= set(VALUES)
        assert len(found) <= 2
        np.testing.assert_array_equal(image, np.kron(image[::2, ::3], np.ones((2, 3), int)))
    assert np.mean([len(np.unique(image)) == 2 for image in hard]) > 0.9


def test_all_classes_are_blended_with_all_others():
    """Unequal classes: each image is as likely the first of a pair, and the second is of any other class."""
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    hard = data.blended_source(make_source(labels), np.arange(1000), seed=0).fetch(np.arange(1002, 1333, 3))[..., 0]
    pairs = {tuple(np.unique(image)) for image in hard}
    assert pairs >= {(10, 110), (10, 250)}
    assert np.mean([250 in image for image in hard]) == pytest.approx(0.5, abs=0.15)


def test_what_cannot_be_blended_is_refused():
    source = make_source([0, 1, 2] * 3)
    with pytest.raises(UserError, match="'colors' has no labels, so there are no classes to blend"):
        data.blended_source(source._replace(labels=None), np.arange(9), seed=0)
    with pytest.raises(UserError, match="'colors': no image of class 1 is among the 2 that are taken"):
        data.blended_source(source, np.array([0, 2]), seed=0)
