"""Images of several classes, and blends of two classes: what a classifier learns from to find samples between them."""

import numpy as np

from buresgan_jax.data._random import Stream, random_bits
from buresgan_jax.data.source import Source
from buresgan_jax.errors import UserError

_CELLS = 4  # per side, of the patterns by which two images are blended
_EVEN = (0.3, 0.7)  # the range of one weight for a whole image


def blended_source(source: Source, indices: np.ndarray, *, seed: int) -> Source:
    """Makes a source of images and of blends, which are a class of their own.

    A blend is `w a + (1 - w) b` for images a and b of two different classes. Of three blends, w is the same for all
    pixels in one, and varies over the image in 4x4 cells in two: smoothly in one, and 0 or 1 for each cell in the
    other.

    Args:
        source: Images with labels `0..num_classes - 1`.
        indices: Numbers of the images of the source that are taken, at least one of each class, shape `[n]`.
        seed: Seed of the blends.

    Returns:
        A source of the n images and of `n / num_classes` blends after them, rounded. The label of a blend is
        `num_classes` of the source.

    Raises:
        UserError: The source has no labels, or images of a class are missing.
    """
    labels = _labels(source, indices)
    pairs = _Pairs(np.asarray(indices), labels)
    num_images = len(labels)
    num_blends = round(num_images / pairs.num_classes)

    def blends(numbers: np.ndarray) -> np.ndarray:
        bits = random_bits(numbers, seed=seed, stream=Stream.BLENDS, num_words=3 + _CELLS**2)
        first, second = (source.fetch(each).astype(np.float32) for each in pairs.draw(bits[:, :3]))
        weights = _weights(numbers, bits[:, 3:] / np.float64(2**64), source.example_shape)
        return np.rint(second + weights * (first - second)).astype(np.uint8)

    def fetch(numbers: np.ndarray) -> np.ndarray:
        numbers = np.asarray(numbers)
        is_blend = numbers >= num_images
        images = np.empty((len(numbers), *source.example_shape), np.uint8)
        images[~is_blend] = source.fetch(pairs.indices[numbers[~is_blend]])
        images[is_blend] = blends(numbers[is_blend] - num_images)
        return images

    return source._replace(
        name=f"{source.name} and blends",
        num_examples=num_images + num_blends,
        fetch=fetch,
        labels=np.append(labels, np.full(num_blends, pairs.num_classes)).__getitem__,
        num_classes=pairs.num_classes + 1,
        augment=None,
    )


def _labels(source, indices):
    if source.labels is None:
        raise UserError(f"{source.name!r} has no labels, so there are no classes to blend.")
    labels = source.labels(np.asarray(indices))
    if missing := set(range(source.num_classes)) - set(labels.tolist()):
        raise UserError(f"{source.name!r}: no image of class {min(missing)} is among the {len(labels)} that are taken.")
    return labels


class _Pairs:
    """Draws pairs of images of different classes."""

    def __init__(self, indices: np.ndarray, labels: np.ndarray):
        self.indices, self._labels = indices, labels
        self._by_class = indices[np.argsort(labels, kind="stable")]
        self._counts = np.bincount(labels)
        self._starts = np.cumsum(self._counts) - self._counts

    @property
    def num_classes(self):
        return len(self._counts)

    def draw(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns numbers of images from bits `[n, 3]`: any image, and one of a class other than its own."""
        first = (bits[:, 0] % np.uint64(len(self.indices))).astype(np.int64)
        step = 1 + (bits[:, 1] % np.uint64(self.num_classes - 1)).astype(np.int64)
        other = (self._labels[first] + step) % self.num_classes
        member = (bits[:, 2] % self._counts[other].astype(np.uint64)).astype(np.int64)
        return self.indices[first], self._by_class[self._starts[other] + member]


def _weights(numbers: np.ndarray, uniform: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns weights of the first image, `[n, height, width, 1]`, from uniform numbers `[n, cells**2]`."""
    height, width, _ = shape
    cells = uniform.reshape(-1, _CELLS, _CELLS)
    least, most = _EVEN
    even = np.broadcast_to(least + (most - least) * cells[:, :1, :1], cells.shape)
    kind = (numbers % 3)[:, np.newaxis, np.newaxis]
    cells = np.where(kind == 0, even, np.where(kind == 1, cells, cells < 0.5))
    rows, columns = (_interpolation(size) for size in (height, width))
    smooth = np.einsum("hi,nij,wj->nhw", rows, cells, columns)
    hard = cells[:, np.arange(height) * _CELLS // height][:, :, np.arange(width) * _CELLS // width]
    return np.where(kind == 2, hard, smooth)[..., np.newaxis]


def _interpolation(size: int) -> np.ndarray:
    """Returns the matrix `[size, cells]` that interpolates linearly between cells, the first and last at the edges."""
    place = np.linspace(0, _CELLS - 1, size)[:, np.newaxis]
    return np.maximum(0, 1 - np.abs(place - np.arange(_CELLS)))
