"""The images by which the benchmark of unwanted samples shows what the classifier sees."""

import pathlib
import sys

import numpy as np
import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parents[2] / "benchmarks")]
import unwanted  # noqa: E402

DARK, BRIGHT = (np.full((6, 32, 32, 3), value, np.float32) for value in (-0.8, 0.6))


def test_each_mixture_has_its_share_of_both_sets():
    found = unwanted.between(DARK, BRIGHT)
    shares = {name: np.unique((images - DARK) / (BRIGHT - DARK)) for name, images in found.items()}
    for share in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(shares[f"blends, {share:.0%} of the second"], share, atol=1e-6)
    means = {name: np.mean((images - DARK) / (BRIGHT - DARK)) for name, images in found.items()}
    assert means["upper 10 rows of one, others of the other"] == pytest.approx(22 / 32, rel=1e-5)
    assert means["single pixels in turn"] == pytest.approx(0.5, rel=1e-5)
    assert means["a diagonal cut"] == pytest.approx((32 + 1) / 64, rel=1e-5)
    assert means["a disk of radius 9 in the other"] == pytest.approx(1 - np.pi * 81 / 1024, abs=0.01)


def test_changed_images_are_of_their_set():
    found = unwanted.changed(np.concatenate([DARK[:3], DARK[:3] + 0.2]))
    assert all(images.shape[1:] == (32, 32, 3) for images in found.values())
    np.testing.assert_allclose(found["average of two of the set"], -0.7, atol=1e-6)
    np.testing.assert_allclose(found["blurred by 2 pixels"][0], -0.8, atol=1e-6)
    assert (found["blue times 0.8"][..., 2] < found["real"][..., 2]).all()


def test_samples_are_sorted_by_their_labels():
    samples = np.concatenate([DARK, BRIGHT])
    picture = unwanted.sorted_samples(samples, np.array([0] * 5 + [2] * 7), num=8)
    first, second, third = np.split(picture, 3, axis=1)
    assert [np.unique(block).tolist() for block in (first, second, third)] == [[25, 255], [255], [25, 204, 255]]


def test_an_autoencoder_learns_its_images():
    images = np.random.default_rng(0).choice([-0.5, 0.5], size=(40, 1, 1, 3)) * np.ones((1, 32, 32, 1))
    images = images.astype(np.float32)
    encode, decode = unwanted.autoencoder(images, num_steps=100)
    assert encode(images).shape == (40, 64)
    assert np.mean((decode(encode(images)) - images) ** 2) < 0.02 < np.mean(images**2)
