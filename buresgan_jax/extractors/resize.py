"""The resizing methods of other evaluation packages, as a product with one matrix per axis.

Notation: images are `[batch, height, width, channels]`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Resizer(NamedTuple):
    """A resizing method, and its package's scaling of intensities for Inception-v3.

    Attributes:
        matrix: Function from the sizes `(old, new)` to the matrix, float32 `[new, old]`.
        mean: Number that is subtracted from intensities within [0, 255].
        scale: Number by which the difference is divided.
    """

    matrix: Callable[[int, int], np.ndarray]
    mean: float
    scale: float


def find_resizer(name: str) -> Resizer:
    """Returns a resizer by its name.

    Args:
        name: "legacy_tensorflow" (bilinear, pixel i is at position i times the factor, as in the graph of 2015 and in
            torch-fidelity), "legacy_pytorch" (bilinear between the centers of pixels, as in pytorch-fid) or "clean"
            (Pillow's bicubic filter on floats, which covers all pixels when it shrinks images, as in clean-fid).

    Raises:
        ValueError: The name is unknown.
    """
    if name not in _RESIZERS:
        raise ValueError(f"Unknown resizer {name!r}. Available: {', '.join(_RESIZERS)}.")
    return _RESIZERS[name]


def resize(images: jax.Array, size: int, resizer: Resizer) -> jax.Array:
    """Resizes images to a square.

    Args:
        images: Images, float32 `[batch, height, width, channels]`, within [0, 255].
        size: New height and width.
        resizer: The resizing method.

    Returns:
        Resized images, float32 `[batch, size, size, channels]`, within [0, 255], not rounded.
    """
    rows, columns = (resizer.matrix(old, size) for old in images.shape[1:3])
    images = jnp.einsum("nw,bhwc->bhnc", columns, images)
    return jnp.clip(jnp.einsum("nh,bhwc->bnwc", rows, images), 0, 255)


@functools.cache
def _tensorflow_matrix(old: int, new: int) -> np.ndarray:
    return _linear_matrix(old, np.arange(new, dtype=np.float32) * np.float32(old / new))


@functools.cache
def _pytorch_matrix(old: int, new: int) -> np.ndarray:
    centers = (np.arange(new) + 0.5) * np.float32(old / new).astype(np.float64) - 0.5  # a fused multiply-add
    return _linear_matrix(old, np.maximum(centers, 0).astype(np.float32))


def _linear_matrix(old: int, positions: np.ndarray) -> np.ndarray:
    """Returns the interpolation matrix `[new, old]` for positions in pixels, which are float32 as in those packages."""
    low = np.minimum(positions.astype(int), old - 1)
    share = positions - low.astype(np.float32)
    matrix, new = np.zeros((len(positions), old), np.float32), np.arange(len(positions))
    np.add.at(matrix, (new, low), 1 - share)
    np.add.at(matrix, (new, np.minimum(low + 1, old - 1)), share)
    return matrix


@functools.cache
def _bicubic_matrix(old: int, new: int) -> np.ndarray:
    """Returns the matrix of Keys' cubic filter, a = -1/2, stretched for shrinking and cut off at the border."""
    scale = old / new
    stretch = max(scale, 1.0)
    matrix = np.zeros((new, old))
    for row, center in zip(matrix, (np.arange(new) + 0.5) * scale, strict=True):
        low, high = max(int(center - 2 * stretch + 0.5), 0), min(int(center + 2 * stretch + 0.5), old)
        weights = _cubic((np.arange(low, high) - center + 0.5) / stretch)
        row[low:high] = weights / weights.sum()
    return matrix.astype(np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, np.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0))


def normalize_imagenet(images: jax.Array) -> jax.Array:
    """Normalizes each channel, within [0, 255], to mean 0 and variance 1 over ImageNet."""
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32).reshape(2, 1, 1, 1, 3)
    return (images / 255 - mean) / std


_RESIZERS = {
    "legacy_tensorflow": Resizer(_tensorflow_matrix, 128.0, 128.0),
    "legacy_pytorch": Resizer(_pytorch_matrix, 127.5, 127.5),
    "clean": Resizer(_bicubic_matrix, 128.0, 128.0),
}
