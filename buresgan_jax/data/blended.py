"""Images of several classes, and blends of two classes: what a classifier learns from to find images between them."""

import numpy as np
from scipy import ndimage

from buresgan_jax.data._random import Stream, random_bits
from buresgan_jax.data.source import Source
from buresgan_jax.errors import UserError

_CELLS = 4  # per side, of the patterns by which two images are blended
_EVEN = (0.3, 0.7)  # the range of one weight for a whole image
_MOST_BLUR = 2.5  # standard deviation in pixels
_MOST_CHANGE = 0.3  # of a channel's gain around 1, and of its offset as a part of 255
_MOST_NOISE = 0.2  # standard deviation as a part of 255
_NUM_WORDS = 3 + _CELLS**2 + 8  # the pair, the cells, the change


def blended_source(source: Source, indices: np.ndarray, *, seed: int, varied: bool = False) -> Source:
    """Makes a source of images and of blends of two classes, which are a class of their own.

    A blend is `w a + (1 - w) b` for two images a and b. Three kinds take turns. In the first w is one number from 0.3
    to 0.7. In the second w varies smoothly between random values on a 4x4 grid. In the third w is 0 or 1 in each of 4x4
    cells.

    Args:
        source: uint8 images with labels `0..num_classes - 1`.
        indices: Numbers of the images of the source that are taken, at least one of each class, shape `[n]`.
        seed: Seed of the blends.
        varied: Whether to add what a classifier must not take for a blend of two classes: as many blends of two images
            of one class, with the label of this class, and changes of a random half of all examples. A change is blur,
            other gains and offsets of the channels, or noise.

    Returns:
        A source of the n images, then (if `varied`) of `n / num_classes` blends within a class, rounded, then of as
        many blends of two classes. The label of the last is `num_classes` of the source.

    Raises:
        UserError: The source is not of images, has no labels or fewer than two classes, images of a class are missing,
            or the seed is negative.
    """
    indices = np.asarray(indices, np.int64)
    labels = _labels(source, indices)
    pairs = _Pairs(indices, labels)
    num_classes, num_blends = pairs.num_classes, round(len(indices) / pairs.num_classes)
    random_bits(np.zeros(0, np.int64), seed=seed, stream=Stream.BLENDS)  # a bad seed is refused here

    def bits_of(numbers):
        return random_bits(numbers, seed=seed, stream=Stream.BLENDS, num_words=_NUM_WORDS)

    within = pairs.first(bits_of(len(indices) + np.arange(num_blends if varied else 0)))
    all_labels = np.concatenate([labels, labels[within], np.full(num_blends, num_classes)])
    is_image = np.arange(len(all_labels)) < len(indices)

    def fetch(numbers: np.ndarray) -> np.ndarray:
        numbers = np.asarray(numbers, np.int64)
        bits, plain = bits_of(numbers), is_image[numbers]
        images = np.empty((len(numbers), *source.example_shape), np.float32)
        images[plain] = source.fetch(indices[numbers[plain]])
        chosen, of_blends = numbers[~plain], bits[~plain]
        first, second = pairs.draw(of_blends, across=all_labels[chosen] == num_classes)
        weights = _weights(chosen, of_blends[:, 3 : 3 + _CELLS**2] / np.float64(2**64), source.example_shape)
        first, second = (source.fetch(each).astype(np.float32) for each in (first, second))
        images[~plain] = second + weights * (first - second)
        if varied:
            _change(images, bits[:, -8:])
        return np.rint(images.clip(0, 255)).astype(np.uint8)

    return source._replace(
        name=f"{source.name} and blends",
        num_examples=len(all_labels),
        fetch=fetch,
        labels=all_labels.__getitem__,
        num_classes=num_classes + 1,
        augment=None,
    )


def _labels(source, indices):
    if len(source.example_shape) != 3:
        raise UserError(
            f"Cannot blend {source.name!r}: its examples have shape {source.example_shape} and are no images."
        )
    if source.labels is None:
        raise UserError(f"{source.name!r} has no labels, so there are no classes to blend.")
    labels = source.labels(indices)
    classes = range(source.num_classes or labels.max(initial=-1) + 1)
    if missing := set(classes) - set(labels.tolist()):
        raise UserError(f"{source.name!r}: no image of class {min(missing)} is among the {len(labels)} that are taken.")
    if len(classes) < 2:
        raise UserError(f"{source.name!r} has fewer than two classes, so there is nothing to blend.")
    return labels


class _Pairs:
    """Draws pairs of images, of one class or of two."""

    def __init__(self, indices: np.ndarray, labels: np.ndarray):
        self._indices, self._labels = indices, labels
        self._by_class = indices[np.argsort(labels, kind="stable")]
        self._counts = np.bincount(labels)
        self._starts = np.cumsum(self._counts) - self._counts

    @property
    def num_classes(self):
        return len(self._counts)

    def first(self, bits: np.ndarray) -> np.ndarray:
        """Draws the place of any image among all."""
        return (bits[:, 0] % np.uint64(len(self._indices))).astype(np.int64)

    def draw(self, bits: np.ndarray, *, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns numbers of images from bits `[n, 3]`: any image, and one of another class, or else of its own."""
        first = self.first(bits)
        step = 1 + (bits[:, 1] % np.uint64(self.num_classes - 1)).astype(np.int64)
        other = (self._labels[first] + step * across) % self.num_classes
        member = (bits[:, 2] % self._counts[other].astype(np.uint64)).astype(np.int64)
        return self._indices[first], self._by_class[self._starts[other] + member]


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
    return np.where(kind == 2, hard, smooth)[..., np.newaxis].astype(np.float32)


def _interpolation(size: int) -> np.ndarray:
    """Returns the matrix `[size, cells]` that interpolates linearly between cells, the first and last at the edges."""
    place = np.linspace(0, _CELLS - 1, size)[:, np.newaxis]
    return np.maximum(0, 1 - np.abs(place - np.arange(_CELLS)))


def _change(images: np.ndarray, bits: np.ndarray) -> None:
    """Changes half of the images in place, by bits `[n, 8]`: blur, colors or noise."""
    for image, word, (which, size, *others) in zip(images, bits[:, -1], bits / np.float64(2**64), strict=True):
        if which < 1 / 6:
            image[:] = ndimage.gaussian_filter(image, (_MOST_BLUR * size, _MOST_BLUR * size, 0))
        elif which < 2 / 6:
            gain, offset = (_MOST_CHANGE * size * (2 * np.array(others).reshape(2, 3) - 1))[:, : image.shape[-1]]
            image[:] = image * (1 + gain) + 255 * offset
        elif which < 3 / 6:
            counters = word + np.arange(image.size, dtype=np.uint64)
            noise = random_bits(counters, seed=0, stream=Stream.BLENDS)[:, 0] / np.float64(2**64) - 0.5
            image += 255 * _MOST_NOISE * size * np.sqrt(12) * noise.reshape(image.shape)
