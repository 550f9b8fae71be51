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
    for axis in (1, 2):
        assert np.abs(np.diff(smooth, axis=axis)).max() < 130  # 240 from pixel to pixel if it were hard
    for image in hard:
        found = set(np.unique(image))
        assert found <= set(VALUES)
        assert len(found) <= 2
        np.testing.assert_array_equal(image, np.kron(image[::2, ::3], np.ones((2, 3), int)))
    assert np.mean([len(np.unique(image)) == 2 for image in hard]) > 0.9


def test_all_classes_are_blended_with_all_others():
    labels = np.array([0] * 300 + [1] * 30 + [2] * 300)
    hard = data.blended_source(make_source(labels), np.arange(630), seed=0).fetch(np.arange(632, 840, 3))[..., 0]
    pairs = [tuple(np.unique(image).tolist()) for image in hard]
    assert {(10, 110), (10, 250), (110, 250)} <= set(pairs)
    # A pair begins with the small class in 1 of 21 cases. Half of the others end with it.
    assert np.mean([110 in pair for pair in pairs]) == pytest.approx(11 / 21, abs=0.15)


def test_a_varied_source_has_blends_within_a_class_and_changes_half():
    source = make_source([0, 1, 2] * 200)
    plain, varied = (data.blended_source(source, np.arange(600), seed=0, varied=value) for value in (False, True))
    assert (plain.num_examples, varied.num_examples, varied.num_classes) == (800, 1000, 4)
    numbers = np.arange(1000)
    images, labels = varied.fetch(numbers).astype(int), varied.labels(numbers)
    assert np.bincount(labels[:600]).tolist() == [200] * 3
    assert np.bincount(labels[600:800], minlength=4)[3] == 0
    assert set(labels[800:]) == {3}
    # Here a blend within a class looks like the class.
    expected = VALUES[labels[:800]].reshape(-1, 1, 1, 1)
    unchanged = (images[:800] == expected).all((1, 2, 3))
    assert unchanged.mean() == pytest.approx(4 / 6, abs=0.07)  # blur leaves an even image as it is
    assert unchanged[600:].mean() == pytest.approx(4 / 6, abs=0.1)
    of_one_color = (images[:800] == images[:800, :1, :1]).all((1, 2, 3))
    assert (~of_one_color).mean() == pytest.approx(1 / 6, abs=0.05)  # noise
    tinted = of_one_color & ~unchanged
    assert (np.ptp(images[:800][tinted][:, 0, 0], axis=-1) > 0).mean() > 0.9
    np.testing.assert_array_equal(varied.fetch(numbers[::-7]), images[::-7])


def test_blur_keeps_colors_and_softens_edges():
    source = make_source([0, 2] * 300)
    source = source._replace(num_classes=2, labels=(np.arange(600) % 2).__getitem__)
    half = np.where(np.arange(8)[:, np.newaxis, np.newaxis] < 4, 50, 200) + np.zeros((1, 8, 12, 3))
    source = source._replace(fetch=lambda indices: np.repeat(half, len(indices), 0).astype(np.uint8))
    images = data.blended_source(source, np.arange(600), seed=0, varied=True).fetch(np.arange(600)).astype(int)
    even_rows = (images == images[:, :, :1, :1]).all((1, 2, 3))  # no noise, no tint
    steps = (images[:, 4] - images[:, 3])[:, 0, 0]
    assert np.mean(even_rows & (steps < 140)) == pytest.approx(1 / 6, abs=0.05)
    assert (images[even_rows].mean((1, 2, 3)) > 120).all()
    assert (images[even_rows].mean((1, 2, 3)) < 130).all()


@pytest.mark.parametrize(
    ("change", "indices", "message"),
    [
        ({"labels": None}, range(9), "'colors' has no labels, so there are no classes to blend"),
        ({}, [0, 2], "'colors': no image of class 1 is among the 2 that are taken"),
        ({}, [], "'colors': no image of class 0 is among the 0 that are taken"),
        ({"num_classes": None}, [0, 3], "'colors' has fewer than two classes"),
        ({"num_classes": None}, [0, 2], "no image of class 1"),
        ({"example_shape": (2,)}, range(9), r"its examples have shape \(2,\) and are no images"),
    ],
)
def test_what_cannot_be_blended_is_refused(change, indices, message):
    with pytest.raises(UserError, match=message):
        data.blended_source(make_source([0, 1, 2] * 3)._replace(**change), np.array(indices, int), seed=0)


def test_a_bad_seed_and_numbers_past_the_end_are_refused_at_once():
    source = make_source([0, 1, 2] * 3)
    with pytest.raises(UserError, match="seed -1 is negative"):
        data.blended_source(source, np.arange(9), seed=-1)
    with pytest.raises(IndexError):
        data.blended_source(source, np.arange(9), seed=0).fetch(np.array([12]))
