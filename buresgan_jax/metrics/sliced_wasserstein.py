"""Sliced Wasserstein distance between image patches, on each level of a Laplacian pyramid."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from buresgan_jax.distances import checks
from buresgan_jax.metrics import inputs

Variant = Literal["bures_gan", "progan"]
VARIANTS = get_args(Variant)

_PATCH_SIZE = 7
_MIN_RESOLUTION = 16
_EPS = 1e-12
_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_DIRECTIONS_AT_ONCE = 16


class SlicedWasserstein(NamedTuple):
    """Distances between the patches.

    Attributes:
        mean: Mean over the levels.
        levels: Distance on each level, the finest first. ProGAN's table shows these numbers times 1000.
    """

    mean: float
    levels: tuple[float, ...]


class _Protocol(NamedTuple):
    patches_per_image: int
    num_directions: Callable[[int], int]  # function of the patch's dimension
    standardize: Callable[[np.ndarray], np.ndarray]


def sliced_wasserstein(
    real: ArrayLike, fake: ArrayLike, *, variant: Variant = "bures_gan", seed: int = 0
) -> SlicedWasserstein:
    """Computes the sliced Wasserstein distance between 7 x 7 patches on the levels of a Laplacian pyramid.

    Each level halves the resolution of the previous one; the last one has at least 16 pixels: 32 and 16 for CIFAR, 96,
    48 and 24 for STL-10.

    Args:
        real: Real images, shape `[n, height, width, channels]`, floating within [-1, 1] or uint8.
        fake: Fake images of the same shape and number.
        variant: `"bures_gan"` is the BuresGAN authors' variant: 64 patches per image, each standardized by its own mean
            and standard deviation, and as many directions as a patch has values (147 for RGB). `"progan"`: 128 patches
            per image, each channel standardized over the whole set, and 512 directions.
        seed: Seed of the directions and of the patches' positions, which are the same for both sets, so that equal sets
            have distance 0.

    Returns:
        The mean over the levels, and each level's distance.

    Raises:
        ValueError: The shapes or numbers of images differ, an image has fewer than 16 pixels per side, a value is not
            finite or outside of [-1, 1], or the variant is unknown.

    Note:
        Float32. Holds the patches of one level of both sets: `2 n patches_per_image 49 channels` numbers. Cost: that
        number times the number of directions, plus two sorts of `n patches_per_image` numbers per direction.

    References:
        Karras et al., "Progressive growing of GANs for improved quality, stability, and variation", ICLR 2018.
        https://arxiv.org/abs/1710.10196. De Meulemeester et al., "The Bures metric for generative adversarial
        networks", ECML-PKDD 2021. https://arxiv.org/abs/2006.09096
    """
    checks.check_choice("variant", variant, VARIANTS)
    real, fake = inputs.check_images("real", real), inputs.check_images("fake", fake)
    inputs.check_same_image_shape(real, fake)
    if len(real) != len(fake):
        raise ValueError(f"real and fake must have equally many images, got {len(real)} and {len(fake)}. Drop some.")
    num_levels = int(math.log2(min(real.shape[1:3]))) - int(math.log2(_MIN_RESOLUTION)) + 1
    if num_levels < 1:
        raise ValueError(f"images must have at least {_MIN_RESOLUTION} x {_MIN_RESOLUTION} pixels, got {real.shape}.")
    pyramids = laplacian_pyramid(real, num_levels), laplacian_pyramid(fake, num_levels)
    levels = tuple(
        _distance_of_level(*pair, _PROTOCOLS[variant], np.random.default_rng((seed, level)))
        for level, pair in enumerate(zip(*pyramids, strict=True))
    )
    return SlicedWasserstein(sum(levels) / num_levels, levels)


def laplacian_pyramid(images: np.ndarray, num_levels: int) -> list[np.ndarray]:
    """Computes the differences between successive blurred and halved versions of images, and the last version.

    The blur is the binomial filter `[1, 4, 6, 4, 1]^2 / 256`, with reflection at the border that does not repeat the
    edge.

    Args:
        images: Images, shape `[n, height, width, channels]`, floating.
        num_levels: Number of levels. With 1 the images are returned unchanged.
    """
    levels = [images]
    for _ in range(num_levels - 1):
        smaller = _blur(levels[-1])[:, ::2, ::2]
        levels[-1] = levels[-1] - _enlarge(smaller, levels[-1].shape)
        levels.append(smaller)
    return levels


def sliced_wasserstein_distance(real: np.ndarray, fake: np.ndarray, directions: np.ndarray) -> float:
    """Computes the mean over directions of the 1-Wasserstein distance between the projections.

    Args:
        real: Real points, shape `[n, dim]`.
        fake: Fake points, shape `[n, dim]`.
        directions: Unit vectors, shape `[num_directions, dim]`.
    """
    total = 0.0
    for start in range(0, len(directions), _DIRECTIONS_AT_ONCE):
        some = directions[start : start + _DIRECTIONS_AT_ONCE]
        difference = np.sort(some @ real.T, axis=1) - np.sort(some @ fake.T, axis=1)
        total += float(np.abs(difference).mean(1, dtype=np.float64).sum())
    return total / len(directions)


def random_directions(random: np.random.Generator, num_directions: int, dim: int) -> np.ndarray:
    """Draws directions uniformly on the unit sphere, float32 `[num_directions, dim]`."""
    directions = random.normal(size=(num_directions, dim))
    return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)


def _distance_of_level(real, fake, protocol, random):
    places = _random_places(random, real.shape, protocol.patches_per_image)
    real, fake = (protocol.standardize(_patches(images, places)) for images in (real, fake))
    dim = math.prod(real.shape[1:])
    directions = random_directions(random, protocol.num_directions(dim), dim)
    return sliced_wasserstein_distance(real.reshape(-1, dim), fake.reshape(-1, dim), directions)


def _random_places(random, shape, patches_per_image):
    """Draws image, row and column of each patch's corner."""
    num_patches = shape[0] * patches_per_image
    corners = [random.integers(size - _PATCH_SIZE + 1, size=num_patches) for size in shape[1:3]]
    return (np.repeat(np.arange(shape[0]), patches_per_image), *corners)


def _patches(images, places):
    """Cuts out patches, shape `[num_patches, channels, 7, 7]`."""
    return np.lib.stride_tricks.sliding_window_view(images, (_PATCH_SIZE, _PATCH_SIZE), (1, 2))[places]


def _standardize_over(axes):
    def standardize(patches):
        patches = patches - patches.mean(axes, keepdims=True, dtype=np.float64).astype(np.float32)
        return patches / (np.sqrt(np.square(patches).mean(axes, keepdims=True, dtype=np.float64)) + _EPS).astype(
            np.float32
        )

    return standardize


_PROTOCOLS = {
    "bures_gan": _Protocol(64, lambda dim: dim, _standardize_over((1, 2, 3))),
    "progan": _Protocol(128, lambda dim: 512, _standardize_over((0, 2, 3))),
}


def _blur(images):
    for axis in (1, 2):
        widths = [(2, 2) if each == axis else (0, 0) for each in range(4)]
        padded, size = np.pad(images, widths, mode="reflect"), images.shape[axis]
        before = (slice(None),) * axis
        images = sum(
            np.float32(weight) * padded[(*before, slice(shift, shift + size))] for shift, weight in enumerate(_BINOMIAL)
        )
    return images


def _enlarge(images, shape):
    spread = np.zeros(shape, images.dtype)
    spread[:, ::2, ::2] = images
    return 4 * _blur(spread)
