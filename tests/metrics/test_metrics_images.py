"""Sliced Wasserstein distance and MS-SSIM: images in, floats out."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize
from golden import metrics as golden_metrics

from buresgan_jax.metrics import ms_ssim, ms_ssim_of_pairs, sliced_wasserstein
from buresgan_jax.metrics.inputs import check_images
from buresgan_jax.metrics.sliced_wasserstein import laplacian_pyramid, random_directions, sliced_wasserstein_distance

VARIANTS = pytest.mark.parametrize("variant", ["bures_gan", "progan"])


def _images(n, size=32, seed=0):
    noise = np.random.default_rng(seed).uniform(-1, 1, size=(n, size, size, 3))
    return scipy.ndimage.uniform_filter(noise, (1, 5, 5, 1)).astype(np.float32)


# Sliced Wasserstein distance


@pytest.mark.parametrize("size", [32, 96, 41])
def test_the_pyramid_equals_one_by_scipy(size):
    images = _images(2, size)
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, :, :, None] / 256
    blur = lambda x: scipy.ndimage.convolve(x, binomial, mode="mirror")  # noqa: E731
    coarse = blur(images.astype(np.float64))[:, ::2, ::2]
    spread = np.zeros(images.shape)
    spread[:, ::2, ::2] = coarse
    fine, rest = laplacian_pyramid(images, 2)
    np.testing.assert_allclose(rest, coarse, atol=1e-6)
    np.testing.assert_allclose(fine, images - 4 * blur(spread), atol=1e-6)


def test_distance_of_points_is_that_of_the_best_assignment_on_each_line():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(2, 50, 3)).astype(np.float32)
    directions = random_directions(random, 20, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-6)
    costs = [abs((real @ each)[:, None] - (fake @ each)[None]) for each in directions]
    expected = np.mean([cost[scipy.optimize.linear_sum_assignment(cost)].mean() for cost in costs])
    assert sliced_wasserstein_distance(real, fake, directions) == pytest.approx(expected, rel=1e-5)


@VARIANTS
def test_real_against_itself_is_zero_and_worse_fakes_are_farther(variant):
    real, other = _images(20), _images(20, seed=1)
    assert sliced_wasserstein(real, real, variant=variant).mean == 0
    same = sliced_wasserstein(real, other, variant=variant)
    stripes = np.broadcast_to(np.sin(2 * np.arange(32))[:, None, None], real.shape)
    assert sliced_wasserstein(real, stripes, variant=variant).levels[0] > 2 * same.levels[0] > 0
    assert len(same.levels) == 2
    assert same.mean == pytest.approx(np.mean(same.levels))


def test_variants_differ_in_what_a_flat_change_of_brightness_does():
    real = _images(20)
    half = 0.5 * real  # each patch standardized, and each channel too: neither sees the scale
    brighter = real.copy()
    brighter[:10] = 0.5 * brighter[:10] + 0.4  # half of the images: only the whole set's standardization sees that
    for variant in ("bures_gan", "progan"):
        assert sliced_wasserstein(real, half, variant=variant).mean == pytest.approx(0, abs=1e-5)
    assert sliced_wasserstein(real, brighter, variant="bures_gan").mean == pytest.approx(0, abs=1e-4)
    assert sliced_wasserstein(real, brighter, variant="progan").levels[-1] > 0.1


@VARIANTS
def test_a_shuffled_order_changes_as_little_as_another_seed(variant):
    real, fake = _images(24), np.tanh(3 * _images(24, seed=1))
    value = sliced_wasserstein(real, fake, variant=variant).mean
    assert sliced_wasserstein(real[::-1], fake, variant=variant, seed=1).mean == pytest.approx(value, rel=0.2)


def test_uint8_images_are_scaled_to_the_range_and_flat_images_give_numbers():
    real = np.full((2, 16, 16, 1), 255, np.uint8)
    assert sliced_wasserstein(real, np.ones((2, 16, 16, 1))).levels == (0,)
    assert sliced_wasserstein(real, np.zeros((2, 16, 16, 1), np.uint8)).mean == 0


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (_images(4), _images(3), "equally many images, got 4 and 3"),
        (_images(4), _images(4)[..., :1], r"number of channels, got \(32, 32, 3\) and \(32, 32, 1\)"),
        (_images(4), np.full((4, 32, 32, 3), np.nan), "4 of 4 samples of fake are not finite"),
        (_images(4), np.full((4, 32, 32, 3), 2.0), r"fake must lie within \[-1, 1\], got values from 2 to 2"),
        (_images(4, 12), _images(4, 12), "at least 16 x 16 pixels"),
        (_images(4)[0], _images(4), r"real must be images of shape \[n, height, width, channels\]"),
        (_images(0), _images(0), "real has too few samples"),
        (np.zeros((4, 32, 32, 3), int), _images(4), r"real must be floating within \[-1, 1\], or uint8, got int64"),
    ],
)
def test_bad_images_are_one_clear_line(real, fake, message):
    with pytest.raises(ValueError, match=message) as error:
        sliced_wasserstein(real, fake)
    assert "\n" not in str(error.value)


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'progan'"):
        sliced_wasserstein(_images(1), _images(1), variant="pro_gan")


# MS-SSIM


def test_ms_ssim_agrees_with_pytorch_msssim():
    expected = golden_metrics.load()["ms-ssim"]["plain"]["pytorch-msssim"]
    np.testing.assert_allclose(ms_ssim(*golden_metrics.image_pairs()), expected, rtol=1e-5)


def test_one_scale_equals_a_loop_over_windows():
    first, second = (_images(2, 13, seed)[:, :12] for seed in (0, 1))
    window = np.exp(-(np.arange(-5, 6.0) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    expected = []
    for x, y in zip((first + 1) / 2, (second + 1) / 2, strict=True):
        values = []
        for top, left, channel in np.ndindex(2, 3, 3):
            a, b = (image[top : top + 11, left : left + 11, channel].astype(np.float64) for image in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variances = (window * (a - mean_a) ** 2).sum() + (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            values.append(luminance * (2 * cov + 9e-4) / (variances + 9e-4))
        expected.append(np.maximum(np.reshape(values, (6, 3)).mean(0), 0).mean())
    np.testing.assert_allclose(ms_ssim(first, second, weights=(1.0,)), expected, rtol=1e-4)


def test_equal_images_are_similar_by_one_and_pairs_of_a_collapsed_set_too():
    collapsed = np.tile(_images(1, 176), (3, 1, 1, 1))
    mean, error = ms_ssim_of_pairs(collapsed, num_pairs=2)
    assert (mean, error) == (pytest.approx(1, abs=1e-5), pytest.approx(0, abs=1e-5))
    two = _images(2, 176)  # a pair is of different examples, so all pairs are alike
    mean, error = ms_ssim_of_pairs(two, num_pairs=2)
    assert (mean, error) == (pytest.approx(ms_ssim(two, two[::-1])[0], rel=1e-4), pytest.approx(0, abs=1e-5))
    assert mean < 0.8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms_ssim(_images(2), _images(2)), "5 scales need images of at least 176 x 176 pixels, got 32 x 32"),
        (lambda: ms_ssim(_images(2), _images(3)), r"same shape, got \(2, 32, 32, 3\) and \(3, 32, 32, 3\)"),
        (lambda: ms_ssim_of_pairs(_images(1)), "images has too few samples: this metric needs at least 2, got 1"),
        (lambda: ms_ssim_of_pairs(_images(2), num_pairs=1), "num_pairs must be at least 2"),
    ],
)
def test_bad_pairs_are_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bfloat16_images_are_floating():
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 1)), jnp.bfloat16)
    assert check_images("images", images).dtype == np.float32
