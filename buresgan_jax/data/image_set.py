"""Sets of images that one word names (a folder, an `.npz` file or `tfds:NAME:SPLIT`), and batches of them."""

import zipfile
from collections.abc import Callable, Iterator

import numpy as np
from etils import epath

from buresgan_jax.data.folder import folder_shape, folder_source
from buresgan_jax.data.images import tfds_source
from buresgan_jax.data.source import Source, decode_images, encode_images
from buresgan_jax.errors import UserError
from buresgan_jax.runtime.paths import user_path

_TOLERANCE = 1e-3  # resizing floating-point images may overshoot


def image_set(
    place: str, *, image_size: int | None = None, channels: int | None = None, data_dir: str | None = None
) -> Source:
    """Opens a set of images.

    Args:
        place: A folder of PNG and JPEG files; an `.npz` file whose array `samples` is `[n, height, width, 1 or 3]`,
            uint8 or floating point within [-1, 1]; or `tfds:NAME:SPLIT`, such as `tfds:cifar10:test`.
        image_size: Height and width of the images of a folder or TFDS data set: the largest square is cut from the
            center and resized with the Lanczos filter. Default: unchanged, if all pictures are squares of one size.
        channels: 1 or 3, for folders and TFDS data sets. Default: 1 if all pictures are gray.
        data_dir: The folder of the prepared TFDS data sets.

    Returns:
        A source of uint8 images.

    Raises:
        UserError: There is no such set, or its images have several shapes, are not finite or lie outside of [-1, 1].
    """
    if place.startswith("tfds:"):
        _, name, *split = place.split(":", 2)
        if not split:
            raise UserError(f"{place!r} names no split. Write tfds:NAME:SPLIT, such as tfds:cifar10:test.")
        source = tfds_source(name, split=split[0], data_dir=data_dir, image_size=image_size, channels=channels)
        return source._replace(name=place)
    if epath.Path(place).suffix == ".npz":
        return npz_source(place)
    if image_size is None or channels is None:
        found_size, found_channels = folder_shape(place, any_size=image_size is not None)
        image_size, channels = image_size or found_size, channels or found_channels
    return folder_source(place, image_size=image_size, channels=channels)


def npz_source(path: epath.PathLike) -> Source:
    """Opens the array `samples` of an `.npz` file, as `--mode=sample` writes it.

    Args:
        path: The file. Floating-point values within [-1, 1] are rounded to uint8.

    Raises:
        UserError: There is no such file or array, or it does not hold images within [-1, 1].
    """
    try:
        with user_path(path, "path").open("rb") as file, np.load(file) as arrays:
            samples = arrays["samples"]
    except KeyError:
        raise UserError(f"{path} has no array 'samples'. Save one: numpy.savez(path, samples=images).") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"Cannot read {path}: {' '.join(str(error).split())}. Give an existing .npz file.") from error
    if samples.ndim != 4 or samples.shape[-1] not in (1, 3) or 0 in samples.shape:
        raise UserError(f"{path}: samples must be images [n, height, width, 1 or 3], got shape {samples.shape}.")
    images = _to_uint8(path, samples)
    return Source(str(path), len(images), images.shape[1:], images.__getitem__, decode_images)


def _to_uint8(path, samples):
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype.kind != "f":
        raise UserError(f"{path}: samples must be uint8, or floating within [-1, 1], got {samples.dtype}.")
    bad = int((~np.isfinite(samples)).any((1, 2, 3)).sum())
    if bad:
        raise UserError(f"{path}: {bad} of {len(samples)} images hold NaN or infinity. Leave them out.")
    lowest, highest = float(samples.min()), float(samples.max())
    if lowest < -1 - _TOLERANCE or highest > 1 + _TOLERANCE:
        raise UserError(
            f"{path}: floating images must lie within [-1, 1], got values from {lowest:.6g} to {highest:.6g}. "
            "Rescale them, or save uint8."
        )
    return encode_images(np.clip(samples, -1, 1).astype(np.float32))


class ImageBatches:
    """Batches of a source, for any number of passes over it; `len` is the number of batches.

    Attributes:
        num_images: Total number of images.
    """

    def __init__(
        self,
        source: Source,
        *,
        num: int | None = None,
        seed: int = 0,
        batch_size: int = 100,
        on_batch: Callable[[], object] = lambda: None,
    ):
        """Chooses the images.

        Args:
            source: A source of uint8 images.
            num: Number of images to draw with the seed, since files often lie in order of class; None: all.
            seed: Seed of the draw.
            batch_size: Images per batch.
            on_batch: Called before each batch; an exception in it ends the reading.

        Raises:
            UserError: The source has fewer images than `num`.
        """
        if num is not None and num > source.num_examples:
            raise UserError(f"{source.name} has {source.num_examples} images, {num} are wanted. Ask for fewer.")
        self._indices = np.arange(source.num_examples)
        if num is not None:
            self._indices = np.sort(np.random.default_rng(seed).permutation(source.num_examples)[:num])
        self._fetch, self._batch_size, self._on_batch = source.fetch, batch_size, on_batch
        self.num_images = len(self._indices)

    def __len__(self) -> int:
        return -(-self.num_images // self._batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, self.num_images, self._batch_size):
            self._on_batch()
            yield self._fetch(self._indices[start : start + self._batch_size])
