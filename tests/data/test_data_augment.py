"""Random flips: half of the images, as a function of the step's key and the number of the image."""

import jax
import numpy as np
import pytest

from buresgan_jax import data, declarations

NUM = 4096
KEY = jax.random.fold_in(jax.random.key(5), 3)
RAMP = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None], (NUM, 2, 4, 3))


def is_mirrored(key, index, images=RAMP):
    """Which images come out mirrored; each comes out as it was, or mirrored as a whole."""
    images = images[: index.size].reshape(*index.shape, *images.shape[1:])
    flipped = np.asarray(jax.jit(data.random_flips)(images, key, index.astype(np.int32)))
    assert flipped.dtype == images.dtype
    mirrored = (flipped == images[..., ::-1, :]).all((-3, -2, -1))
    np.testing.assert_array_equal(mirrored, (flipped != images).any((-3, -2, -1)))
    return mirrored


def near_half(mirrored):
    """Within 4.5 standard deviations of a fair coin."""
    return abs(mirrored.sum() - mirrored.size / 2) < 4.5 * np.sqrt(mirrored.size) / 2


def test_half_of_the_images_are_mirrored_independently():
    first, index = is_mirrored(KEY, np.arange(NUM)), np.arange(NUM)
    other_step = is_mirrored(jax.random.fold_in(jax.random.key(5), 4), index)
    other_seed = is_mirrored(jax.random.fold_in(jax.random.key(6), 3), index)
    for mirrored in (first, other_step, other_seed):
        assert near_half(mirrored)
    for agreement in (first == other_step, first == other_seed, first[1:] == first[:-1]):
        assert near_half(agreement)
    one_image = [is_mirrored(jax.random.fold_in(jax.random.key(5), step), np.array([7])) for step in range(400)]
    assert near_half(np.concatenate(one_image))


def test_a_flip_depends_on_the_key_and_the_number_only():
    expected = is_mirrored(KEY, np.arange(NUM))
    np.testing.assert_array_equal(is_mirrored(KEY, np.arange(NUM)), expected)
    order = np.random.default_rng(0).permutation(NUM)
    np.testing.assert_array_equal(is_mirrored(KEY, order), expected[order])
    np.testing.assert_array_equal(is_mirrored(KEY, order[:96].reshape(3, 4, 8)), expected[order[:96]].reshape(3, 4, 8))
    wrapped = is_mirrored(KEY, np.array([-1, -(2**31)]))  # an endless stream beyond 2^31
    assert wrapped.shape == (2,)


@pytest.mark.parametrize("name", [*data.IMAGE_SETS, "stacked_mnist", "tfds", "image_folder"])
def test_every_set_of_images_flips_on_request(name, monkeypatch):
    images = np.zeros((5, 8, 8, 1), np.uint8)
    plain = data.Source("plain", 5, (8, 8, 1), images.__getitem__, data.decode_images, lambda indices: indices)
    for module, function in (("images", "tfds_source"), ("stacked", "tfds_source"), ("folder", "folder_source")):
        monkeypatch.setattr(f"buresgan_jax.data.{module}.{function}", lambda *_, **__: plain)
    component = getattr(data, name)
    assert isinstance(component, declarations.Component)
    given = {"path": "somewhere"} if name == "image_folder" else {}
    assert component(seed=0, image_size=8, **given).augment is None
    assert component(seed=0, image_size=8, flip=True, **given).augment is data.random_flips
