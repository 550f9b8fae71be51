"""What the training loop knows of a data set: a `Source`, two pure functions of example numbers and pixels."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Mixture(NamedTuple):
    """A mixture of isotropic Gaussians in the plane.

    Attributes:
        means: centers of the modes, float64, shape `[modes, 2]`.
        std: standard deviation of every mode along each axis, in units of `means`.
        weights: probability of each mode, float64, shape `[modes]`, sums to 1.
    """

    means: np.ndarray
    std: float
    weights: np.ndarray


class Description(NamedTuple):
    """What is known of a data set before it is opened.

    Attributes:
        example_shape: Shape of one example as the networks see it.
        mixture: The true distribution, where it is a known mixture of points.
        num_classes: How many classes the labels tell apart; None without labels.
        digits: The gray set whose classes are stacked in three channels, such as `mnist`; None: nothing is stacked.
    """

    example_shape: tuple[int, ...]
    mixture: Mixture | None = None
    num_classes: int | None = None
    digits: str | None = None

    @property
    def kind(self) -> str:
        """`images` for examples `(height, width, channels)`, else `points`."""
        return "images" if len(self.example_shape) == 3 else "points"


class Source(NamedTuple):
    """A data set with random access.

    Attributes:
        name: what messages call it.
        num_examples: how many examples there are; None where they never end.
        example_shape: shape of one example as the networks see it, such as `(28, 28, 3)` or `(2,)`.
        fetch: int64 indices `[n]` -> examples `[n, *example_shape]`, uint8 images or float32 points. A pure function of
            the indices (same index, same example, on every process) and safe to call from several threads.
        decode: what the training step applies on the device, jittable: uint8 images -> float32 in [-1, 1], points
            unchanged.
        labels: int64 indices `[n]` -> int64 labels `[n]`; None where the data set has none.
        mixture: The true distribution, where it is a known mixture of points.
        num_classes: How many classes the labels tell apart; None where that is not known.
    """

    name: str
    num_examples: int | None
    example_shape: tuple[int, ...]
    fetch: Callable[[np.ndarray], np.ndarray]
    decode: Callable[[jax.Array], jax.Array]
    labels: Callable[[np.ndarray], np.ndarray] | None = None
    mixture: Mixture | None = None
    num_classes: int | None = None


def decode_images(images: jax.Array) -> jax.Array:
    """Maps pixels to the generator's range.

    Args:
        images: uint8, any shape.

    Returns:
        float32 of the same shape, `(images - 127.5) / 127.5`, in [-1, 1].
    """
    return (jnp.asarray(images, jnp.float32) - 127.5) / 127.5


def encode_images(images: np.ndarray) -> np.ndarray:
    """Images as files hold them, the inverse of `decode_images` up to rounding to the nearest level.

    Args:
        images: floating, within [-1, 1].

    Returns:
        uint8 of the same shape.
    """
    return np.rint((images + 1) * 127.5).astype(np.uint8)


def decode_points(points: jax.Array) -> jax.Array:
    """Returns points as they are: they need no decoding.

    Args:
        points: any shape and dtype.

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
    """Keeps every fetched example in memory, so that each is read and decoded once in a process's life.

    The first epoch runs at the speed of `fetch`, all others at the speed of memory, and nothing is read before it is
    asked for.

    Args:
        fetch: int64 indices `[n]` -> examples `[n, *example_shape]`, a pure function.
        num_examples: indices are below it.
        example_shape: shape of one example.
        dtype: dtype of the examples.

    Returns:
        A function like `fetch`. Thread-safe if `fetch` is.
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
