"""Multi-scale structural similarity of images, and the diversity of a set from random pairs."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from buresgan_jax.metrics import inputs

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW_SIZE, _WINDOW_STD = 11, 1.5
_STABILIZERS = 0.01**2, 0.03**2  # for images within [0, 1]
_PAIRS_AT_ONCE = 4


class SimilarityOfPairs(NamedTuple):
    """Similarity of random pairs of a set. A low value means a diverse set; 1 means that all images are equal.

    Attributes:
        mean: Mean similarity, at most 1.
        standard_error: Standard error of the mean, as if pairs were independent.
    """

    mean: float
    standard_error: float


def ms_ssim_of_pairs(images: ArrayLike, *, num_pairs: int = 1000, seed: int = 0) -> SimilarityOfPairs:
    """Computes the mean multi-scale structural similarity of random pairs of different examples.

    Args:
        images: Images, shape `[n, height, width, channels]`, floating within [-1, 1] or uint8, at least 2 images of at
            least 176 x 176 pixels. Enlarge smaller images first, and report it with the number.
        num_pairs: Number of pairs, at least 2. An image can be in several pairs.
        seed: Seed of the pairs.

    Raises:
        ValueError: There are too few images, they are too small, or a value is not finite or outside of [-1, 1].

    References:
        Odena, Olah, Shlens, "Conditional image synthesis with auxiliary classifier GANs", ICML 2017.
        https://arxiv.org/abs/1610.09585
    """
    inputs.check_positive_integer(num_pairs=num_pairs)
    if num_pairs < 2:
        raise ValueError("num_pairs must be at least 2: one pair has no standard error.")
    images = inputs.check_images("images", images, min_samples=2)
    random = np.random.default_rng(seed)
    first = random.integers(len(images), size=num_pairs)
    second = (first + random.integers(1, len(images), size=num_pairs)) % len(images)
    values = ms_ssim(images[first], images[second])
    return SimilarityOfPairs(float(values.mean()), float(values.std(ddof=1) / num_pairs**0.5))


def ms_ssim(first: ArrayLike, second: ArrayLike, *, weights: Sequence[float] = _WEIGHTS) -> np.ndarray:
    """Computes the multi-scale structural similarity of each image in `first` with the same row of `second`.

    Args:
        first: Images, shape `[n, height, width, channels]`, floating within [-1, 1] or uint8.
        second: Images of the same shape.
        weights: Exponents of the scales, the finest first. Each scale halves the previous one. The last must have at
            least 11 x 11 pixels, the size of the window.

    Returns:
        Similarities between 0 and 1, float64 `[n]`: means over the channels. Negative factors count as zero.

    Raises:
        ValueError: The shapes differ, the images are too small, or a value is not finite or outside of [-1, 1].

    Note:
        Float32, on JAX's default device. If a scale has an odd size, the next scale drops its last row or column;
        implementations differ there.

    References:
        Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar 2003.
    """
    first, second = inputs.check_images("first", first), inputs.check_images("second", second)
    if first.shape != second.shape:
        raise ValueError(f"first and second must have the same shape, got {first.shape} and {second.shape}.")
    smallest = _WINDOW_SIZE * 2 ** (len(weights) - 1)
    if min(first.shape[1:3]) < smallest:
        raise ValueError(
            f"{len(weights)} scales need images of at least {smallest} x {smallest} pixels, "
            f"got {first.shape[1]} x {first.shape[2]}. Enlarge them first."
        )
    return np.asarray(_ms_ssim(first, second, tuple(weights)), np.float64)


@functools.partial(jax.jit, static_argnames="weights")
def _ms_ssim(first, second, weights):
    pairs = (first + 1) / 2, (second + 1) / 2
    return jax.lax.map(lambda pair: _of_pair(*pair, weights), pairs, batch_size=_PAIRS_AT_ONCE)


def _of_pair(x, y, weights):
    product = 1.0
    for scale, weight in enumerate(weights):
        luminance, contrast = _similarities(x, y)
        last = scale == len(weights) - 1
        factor = jnp.mean(luminance * contrast if last else contrast, (0, 1))
        product *= jnp.maximum(factor, 0) ** weight
        x, y = _halve(x), _halve(y)
    return jnp.mean(product)


def _similarities(x, y):
    """Returns maps of the luminance's and of the contrast's similarity, `[height - 10, width - 10, channels]` each."""
    mean_x, mean_y, square_x, square_y, product = _blur(jnp.stack([x, y, x * x, y * y, x * y]))
    variances = square_x - mean_x**2 + square_y - mean_y**2
    covariance = product - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _STABILIZERS[0]) / (mean_x**2 + mean_y**2 + _STABILIZERS[0])
    return luminance, (2 * covariance + _STABILIZERS[1]) / (variances + _STABILIZERS[1])


def _blur(maps):
    """Applies the Gaussian window where it lies inside the maps `[k, height, width, channels]`."""
    places = np.arange(_WINDOW_SIZE) - _WINDOW_SIZE // 2
    window = np.exp(-(places**2) / (2 * _WINDOW_STD**2))
    for axis in (1, 2):
        size = maps.shape[axis] - _WINDOW_SIZE + 1
        shifted = [jax.lax.slice_in_dim(maps, shift, shift + size, axis=axis) for shift in range(_WINDOW_SIZE)]
        maps = sum(float(weight) * part for weight, part in zip(window / window.sum(), shifted, strict=True))
    return maps


def _halve(image):
    """Takes means over 2 x 2 pixels."""
    height, width, channels = image.shape
    even = image[: height // 2 * 2, : width // 2 * 2]
    return even.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))
