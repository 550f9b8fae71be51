"""Stacked MNIST: three gray digits in the three color channels, a thousand modes with known labels."""

import numpy as np

from buresgan_jax import declarations
from buresgan_jax.data import options
from buresgan_jax.data._random import Stream, random_bits
from buresgan_jax.data.augment import with_flips
from buresgan_jax.data.images import tfds_fingerprint, tfds_source
from buresgan_jax.data.source import Description, Source, decode_images, describe_images
from buresgan_jax.errors import UserError

_NUM_CHANNELS = 3
_PLACE_VALUES = np.array([100, 10, 1])
_NUM_CLASSES = 1000
_USUAL_NUMBER = 128_000  # in the VEEGAN and PacGAN papers and those that follow them


def stacked_source(gray: Source, *, num_examples: int = _USUAL_NUMBER, seed: int) -> Source:
    """Stacks three gray images, drawn independently and uniformly with replacement, into one color image.

    Args:
        gray: A labeled source of one-channel uint8 images with labels 0 to 9, such as `mnist` or `fashion_mnist`.
        num_examples: Number of stacks.
        seed: Seed of the draws.

    Returns:
        A source of uint8 images `[height, width, 3]`; the label is `100 * c1 + 10 * c2 + c3`, c1 being the label of the
        first channel.

    Raises:
        UserError: The source is not gray, has no labels or is endless, `num_examples` is below 1, or the seed is
            negative.

    References:
        L. Metz et al., "Unrolled Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1611.02163.
    """
    _check_stackable(gray, num_examples)

    def members(indices: np.ndarray) -> np.ndarray:
        bits = random_bits(indices, seed=seed, stream=Stream.STACKED_DIGITS, num_words=_NUM_CHANNELS)
        return (bits % np.uint64(gray.num_examples)).astype(np.int64)  # the bias of % is below 1e-13

    def fetch(indices: np.ndarray) -> np.ndarray:
        digits = gray.fetch(members(indices).ravel())[..., 0]
        return np.moveaxis(digits.reshape(len(indices), _NUM_CHANNELS, *digits.shape[1:]), 1, -1)

    def labels(indices: np.ndarray) -> np.ndarray:
        return stacked_labels(gray.labels(members(indices).ravel()).reshape(len(indices), _NUM_CHANNELS))

    shape = (*gray.example_shape[:-1], _NUM_CHANNELS)
    members(np.zeros(0, np.int64))  # a bad seed is refused here, not at the first batch
    name = f"stacked_{gray.name}"
    return Source(name, num_examples, shape, fetch, decode_images, labels, num_classes=_NUM_CLASSES)


def stacked_labels(digits: np.ndarray) -> np.ndarray:
    """Combines the labels of three channels into the label of the stack.

    Args:
        digits: Integers from 0 to 9, shape `[n, 3]`, the first channel first.

    Returns:
        int64, shape `[n]`, `100 * c1 + 10 * c2 + c3`, from 0 to 999.
    """
    return digits @ _PLACE_VALUES


def _check_stackable(gray: Source, num_examples: int) -> None:
    if len(gray.example_shape) != 3 or gray.example_shape[-1] != 1:
        raise UserError(
            f"Cannot stack {gray.name!r}: its examples have shape {gray.example_shape}, but stacking needs gray images "
            "of shape (height, width, 1). Choose mnist or fashion_mnist."
        )
    if gray.labels is None or gray.num_examples is None:
        raise UserError(f"Cannot stack {gray.name!r}: it is endless or has no labels. Choose mnist or fashion_mnist.")
    if num_examples < 1:
        raise UserError(f"num_examples {num_examples} of stacked {gray.name!r} is below 1. Set at least 1.")


def _describe(*, base: str, image_size: int | None, channels: int, **_) -> Description:
    return describe_images(image_size, channels, num_classes=_NUM_CLASSES)._replace(digits=base)


def _fingerprint(*, base: str, split: str, data_dir: str | None, **_) -> str:
    return tfds_fingerprint(base, split, data_dir)


@declarations.data(
    "stacked_mnist",
    "three gray digits in the three color channels: 1000 classes",
    options.BASE,
    options.SPLIT,
    options.DATA_DIR,
    options.NUM_EXAMPLES,
    options.IMAGE_SIZE,
    options.CHANNELS,
    options.FLIP,
    describe=_describe,
    fingerprint=_fingerprint,
    is_drawn=True,
)
def stacked_mnist(
    *,
    seed: int,
    base: str,
    split: str,
    data_dir: str | None,
    num_examples: int | None,
    image_size: int | None,
    channels: int,
    flip: bool,
) -> Source:
    """Stacks the images of a prepared TFDS data set; see `stacked_source`.

    Raises:
        UserError: The data set cannot be opened or stacked, or `channels` is not 3.
    """
    if channels != _NUM_CHANNELS:
        raise UserError(f"A stack has {_NUM_CHANNELS} channels, got channels={channels}. Set config.data.channels=3.")
    gray = tfds_source(base, split=split, data_dir=data_dir, image_size=image_size)
    num_examples = _USUAL_NUMBER if num_examples is None else num_examples
    return with_flips(stacked_source(gray, num_examples=num_examples, seed=seed), flip)
