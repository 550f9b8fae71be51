"""Features of images: what metrics know of a network that makes them, and one that needs no weights."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from buresgan_jax.errors import UserError

_SIZE = 8


class Extractor(NamedTuple):
    """What image metrics know of an extractor of features.

    Attributes:
        name: part of the name of every number that was made with it.
        function: uint8 images `[n, height, width, 1 or 3]` of any size -> features float32 `[n, dim]`, and class logits
            `[n, classes]` or None.
        dim: of the features.
        sha256: of the file of weights; None where there are none.
        resizer: what becomes of images of another size, in words.
        is_canonical: whether FID, KID and the inception score are defined on these features.
    """

    name: str
    function: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
    dim: int
    sha256: str | None
    resizer: str
    is_canonical: bool = False


_CANONICAL_NAMES = {"frechet_distance": "fid", "kernel_distance": "kid", "inception_score": "inception_score"}


def metric_name(quantity: str, extractor: Extractor) -> str:
    """What a number made from an extractor's features may be called.

    Args:
        quantity: such as `frechet_distance`.
        extractor: of the features.

    Returns:
        `fid`, `kid` or `inception_score` on the canonical features; elsewhere such as `frechet_distance_pixels`.
    """
    if extractor.is_canonical and quantity in _CANONICAL_NAMES:
        return _CANONICAL_NAMES[quantity]
    return f"{quantity}_{extractor.name}"


def pixels(weights: str | None = None) -> Extractor:
    """Mean intensities, from 0 to 1, of 8 x 8 fields of an image; grey counts as three equal channels.

    It sees coarse colours and shapes only: a check of the machinery, and a first look at a run.

    Args:
        weights: None: there are none.

    Raises:
        UserError: weights are given.
    """
    if weights is not None:
        raise UserError(f"The extractor 'pixels' has no weights, got {weights!r}. Leave them out.")
    return Extractor("pixels", _field_means, _SIZE * _SIZE * 3, None, f"area to {_SIZE}x{_SIZE}")


def _field_means(images):
    rows, columns = (_area_weights(size) for size in images.shape[1:3])
    fields = np.einsum("ih,nhwc,jw->nijc", rows, images.astype(np.float32) / 255, columns, optimize=True)
    return np.broadcast_to(fields, (*fields.shape[:3], 3)).reshape(len(images), -1), None


def _area_weights(size):
    """Share of each pixel `[8, size]` in the mean over each of 8 equal intervals."""
    bounds, pixel = np.arange(_SIZE + 1) * size / _SIZE, np.arange(size)
    overlaps = np.minimum(bounds[1:, None], pixel + 1) - np.maximum(bounds[:-1, None], pixel)
    return (np.maximum(overlaps, 0) * _SIZE / size).astype(np.float32)
