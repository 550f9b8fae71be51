"""An extractor that needs no weights."""

import numpy as np

from buresgan_jax.errors import UserError
from buresgan_jax.extractors.extractor import Extractor, Features

_SIZE = 8


def pixels(weights: str | None = None, *, resizer: str | None = None) -> Extractor:
    """Builds the extractor of mean intensities, from 0 to 1, of 8 x 8 fields of an image.

    Gray images count as three equal channels. The features show coarse colors and shapes only. Use them to test the
    evaluation, or for a first look at a run.

    Args:
        weights: Must be None: there are no weights.
        resizer: Must be None: there is only one way to resize.

    Raises:
        UserError: Weights or a resizer are given.
    """
    if weights is not None:
        raise UserError(f"The extractor 'pixels' has no weights, got {weights!r}. Leave them out.")
    if resizer is not None:
        raise UserError(f"The extractor 'pixels' takes means over fields, got resizer {resizer!r}. Leave it out.")
    return Extractor("pixels", _field_means, _SIZE * _SIZE * 3, resizer=f"area to {_SIZE}x{_SIZE}")


def _field_means(images):
    rows, columns = (_area_weights(size) for size in images.shape[1:3])
    fields = np.einsum("ih,nhwc,jw->nijc", rows, images.astype(np.float32) / 255, columns, optimize=True)
    return Features(np.broadcast_to(fields, (*fields.shape[:3], 3)).reshape(len(images), -1), None)


def _area_weights(size):
    """Returns the weight of each pixel in the mean over each of 8 equal intervals, `[8, size]`."""
    bounds, pixel = np.arange(_SIZE + 1) * size / _SIZE, np.arange(size)
    overlaps = np.minimum(bounds[1:, None], pixel + 1) - np.maximum(bounds[:-1, None], pixel)
    return (np.maximum(overlaps, 0) * _SIZE / size).astype(np.float32)
