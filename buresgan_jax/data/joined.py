"""Several image sets in one, such as photographs and clothes: does a generator make what belongs to neither?"""

from collections.abc import Sequence

import numpy as np

from buresgan_jax import declarations
from buresgan_jax.data import options
from buresgan_jax.data.augment import with_flips
from buresgan_jax.data.images import tfds_fingerprint, tfds_source
from buresgan_jax.data.source import Description, Source, decode_images, describe_images
from buresgan_jax.declarations import Option
from buresgan_jax.errors import UserError, split_names


def joined_source(sources: Sequence[Source], *, num_per_set: int | None = None) -> Source:
    """Puts the examples of several sources one after the other.

    Args:
        sources: Two or more finite sources of uint8 images of one shape. Their augmentation is left out.
        num_per_set: The most examples of each source that are taken, the first ones. Default: all.

    Returns:
        A source of images. The label is the number of the source that an example is from, in the order given.

    Raises:
        UserError: There are fewer than two sources, their shapes differ, one is endless, or `num_per_set` is below 1.
    """
    _check_joinable(sources, num_per_set)
    sizes = [min(source.num_examples, num_per_set or source.num_examples) for source in sources]
    ends = np.cumsum(sizes)
    starts, shape = ends - sizes, sources[0].example_shape

    def labels(indices: np.ndarray) -> np.ndarray:
        return np.searchsorted(ends, indices, side="right").astype(np.int64)

    def fetch(indices: np.ndarray) -> np.ndarray:
        numbers, images = labels(indices), np.empty((len(indices), *shape), np.uint8)
        for number in np.unique(numbers):
            chosen = numbers == number
            images[chosen] = sources[number].fetch(indices[chosen] - starts[number])
        return images

    name = "+".join(source.name for source in sources)
    return Source(name, int(ends[-1]), shape, fetch, decode_images, labels, num_classes=len(sources))


def _check_joinable(sources, num_per_set):
    names = ", ".join(source.name for source in sources)
    if len(sources) < 2:
        raise UserError(f"To join needs two sets or more, got {names or 'none'}. Name another one.")
    shapes = {source.name: source.example_shape for source in sources}
    if len(set(shapes.values())) > 1:
        raise UserError(f"Cannot join {names}: their examples have the shapes {shapes}. Bring them to one size.")
    if endless := [source.name for source in sources if source.num_examples is None]:
        raise UserError(f"Cannot join {endless[0]!r}: it is endless. Give it a number of examples.")
    if num_per_set is not None and num_per_set < 1:
        raise UserError(f"num_per_set {num_per_set} of {names} is below 1. Set at least 1, or None for all.")


def _names(sets: str) -> list[str]:
    names = split_names(sets)
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(
            f"config.data.sets={sets!r}: name two different TFDS data sets or more, with commas between them, such as "
            "cifar10,fashion_mnist."
        )
    return names


def _describe(*, sets: str, image_size: int | None, channels: int, **_) -> Description:
    names = _names(sets)
    return describe_images(image_size, channels, num_classes=len(names))._replace(sets=",".join(names))


def _fingerprint(*, sets: str, split: str, data_dir: str | None, **_) -> str:
    return "; ".join(tfds_fingerprint(name, split, data_dir) for name in _names(sets))


@declarations.data(
    "joined",
    "several TFDS data sets in one; the class is the set",
    Option("sets", "cifar10,fashion_mnist", "TFDS data sets that are joined, with commas between them"),
    Option("num_per_set", None, "most examples of each joined set, the first ones; None: all", kind=int, least=1),
    options.SPLIT,
    options.DATA_DIR,
    options.IMAGE_SIZE,
    options.CHANNELS,
    options.FLIP,
    describe=_describe,
    fingerprint=_fingerprint,
)
def joined(
    *,
    seed: int,
    sets: str,
    num_per_set: int | None,
    split: str,
    data_dir: str | None,
    image_size: int | None,
    channels: int,
    flip: bool,
) -> Source:
    """Joins prepared TFDS data sets, each resized to one size and brought to one number of channels.

    Gray images become three equal channels. See `joined_source` and `tfds_source`.

    Raises:
        UserError: A data set cannot be opened, or they cannot be joined.
    """
    del seed  # every run has the same images
    how = {"split": split, "data_dir": data_dir, "image_size": image_size, "channels": channels}
    sources = [tfds_source(name, **how) for name in _names(sets)]
    return with_flips(joined_source(sources, num_per_set=num_per_set), flip)
