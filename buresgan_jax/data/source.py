"""A data set as training sees it: a `Source` fetches examples by number and decodes them on the device."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.errors import UserError


class Mixture(NamedTuple):
    """A mixture of isotropic Gaussians in the plane.

    Attributes:
        means: Centers of the modes, float64, shape `[modes, 2]`.
        std: Standard deviation of every mode along each axis, in units of `means`.
        weights: Probability of each mode, float64, shape `[modes]`, sums to 1.
    """

    means: np.ndarray
    std: float
    weights: np.ndarray


class Description(NamedTuple):
    """Facts about a data set that are known before it is opened.

    Attributes:
        example_shape: Shape of one example as the networks see it.
        mixture: The true distribution, if it is a known mixture of points.
        num_classes: Number of classes of the labels; None without labels, or if it is not known yet.
        digits: The gray data set whose images are stacked in three channels, such as `mnist`; None if nothing is
            stacked.
        sets: The image sets that are joined, with commas between them; None if nothing is joined.
    """

    example_shape: tuple[int, ...]
    mixture: Mixture | None = None
    num_classes: int | None = None
    digits: str | None = None
    sets: str | None = None

    @property
    def classifier(self) -> str | None:
        """The classifier that counts modes: of each `digit`, or of the `set` of an image; None if none is needed."""
        if self.digits is not None:
            return "digit"
        return None if self.sets is None else "set"

    @property
    def kind(self) -> str:
        """`images` for examples of shape `(height, width, channels)`, else `points`."""
        return "images" if len(self.example_shape) == 3 else "points"


class Source(NamedTuple):
    """A data set with random access.

    Attributes:
        name: Name in messages.
        num_examples: Number of examples; None for an endless stream.
        example_shape: Shape of one example as the networks see it, such as `(28, 28, 3)` or `(2,)`.
        fetch: int64 indices `[n]` -> examples `[n, *example_shape]`, uint8 images or float32 points. A pure function of
            the indices (same index, same example, in every process) that is safe to call from several threads.
        decode: Runs on the device in each training step, jittable: uint8 images -> float32 in [-1, 1], points
            unchanged.
        labels: int64 indices `[n]` -> int64 labels `[n]`; None without labels.
        mixture: The true distribution, if it is a known mixture of points.
        num_classes: Number of classes of the labels; None if it is not known.
        augment: Random changes, on the device after `decode`, jittable: `(decoded [..., *example_shape], key,
            index [...])` -> the same shape. An example may depend on the key and its own number only, so that any
            number of devices computes the same batches. None: no changes.
    """

    name: str
    num_examples: int | None
    example_shape: tuple[int, ...]
    fetch: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[jax.Array], jax.Array]
    labels: Callable[[np.ndarray], np.ndarray] | None = None
    mixture: Mixture | None = None
    num_classes: int | None = None
    augment: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None = None


def describe_images(image_size: int | None, channels: int, *, num_classes: int | None = None) -> Description:
    """Describes a data set of square images.

    Args:
        image_size: Height and width in pixels.
        channels: Number of channels.
        num_classes: See `Description`.

    Returns:
        The description.

    Raises:
        UserError: `image_size` is None.
    """
    if image_size is None:
        raise UserError("config.data.image_size is not set. Set it to the height and width of the images in pixels.")
    return Description((image_size, image_size, channels), None, num_classes)


def decode_images(images: jax.Array) -> jax.Array:
    """Maps pixels to the range of the generator.

    Args:
        images: uint8, any shape.

    Returns:
        float32 of the same shape, `(images - 127.5) / 127.5`, in [-1, 1].
    """
    return (jnp.asarray(images, jnp.float32) - 127.5) / 127.5


def encode_images(images: np.ndarray) -> np.ndarray:
    """Maps the range of the generator to pixels: the inverse of `decode_images`, up to rounding.

    Args:
        images: Floating point, within [-1, 1].

    Returns:
        uint8 of the same shape.
    """
    return np.rint((images + 1) * 127.5).astype(np.uint8)


def decode_points(points: jax.Array) -> jax.Array:
    """Returns points unchanged: they need no decoding.

    Args:
        points: Any shape and dtype.

    Returns:
        `points`.
    """
    return points


def memoized(
    fetch: Callable[[np.ndarray], np.ndarray],
    *,
    num_examples: int,
    example_shape: tuple[int, ...],
    dtype: type = np.uint8,
) -> Callable[[np.ndarray], np.ndarray]:
    """Keeps every fetched example in memory, so that a process reads and decodes each one once.

    The first epoch runs at the speed of `fetch`, all others at the speed of memory. Nothing is read before it is
    needed.

    Args:
        fetch: int64 indices `[n]` -> examples `[n, *example_shape]`, a pure function.
        num_examples: Number of examples; indices are below it.
        example_shape: Shape of one example.
        dtype: Dtype of the examples.

    Returns:
        A function like `fetch`, thread-safe if `fetch` is.
    """
    examples = np.empty((num_examples, *example_shape), dtype)
    known = np.zeros(num_examples, bool)

    def fetch_memoized(indices: np.ndarray) -> np.ndarray:
        missing = np.unique(indices[~known[indices]])
        if missing.size:
            examples[missing] = fetch(missing)
            known[missing] = True  # only now: another thread may read between the two lines
        return examples[indices]

    return fetch_memoized
