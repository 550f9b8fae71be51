"""Sets of images that one word names (a folder, a file of arrays or `tfds:NAME:SPLIT`), and batches of them."""

from collections.abc import Callable, Iterator

import numpy as np
from etils import epath

from buresgan_jax.data.folder import folder_shape, folder_source
from buresgan_jax.data.images import tfds_source
from buresgan_jax.data.source import Source, decode_images
from buresgan_jax.errors import UserError, one_line
from buresgan_jax.runtime import files
from buresgan_jax.runtime.paths import user_path

_TOLERANCE = 1e-3  # of half the range: resizing floating-point images may overshoot


def image_set(
    place: str,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    data_dir: str | None = None,
    value_range: tuple[float, float] | None = None,
) -> Source:
    """Opens a set of images.

    Args:
        place: A folder of pictures; an `.npz` or `.npy` file, see `array_source`; or `tfds:NAME:SPLIT`, such as
            `tfds:cifar10:test`.
        image_size: Height and width of the images of a folder or TFDS data set: the largest square is cut from the
            center and resized with the Lanczos filter. Default: unchanged, if all pictures are squares of one size.
        channels: 1 or 3, for folders and TFDS data sets. Default: 1 if all pictures are gray.
        data_dir: The folder of the prepared TFDS data sets.
        value_range: The values of black and white in floating arrays, see `array_source`.

    Returns:
        A source of uint8 images.

    Raises:
        UserError: There is no such set, or its images have several shapes, are not finite or lie outside of the range.
    """
    if place.startswith("tfds:"):
        _, name, *split = place.split(":", 2)
        if not split:
            raise UserError(f"{place!r} names no split. Write tfds:NAME:SPLIT, such as tfds:cifar10:test.")
        source = tfds_source(name, split=split[0], data_dir=data_dir, image_size=image_size, channels=channels)
        return source._replace(name=place)
    if epath.Path(place).suffix in (".npz", ".npy"):
        return array_source(place, value_range)
    if image_size is None or channels is None:
        found_size, found_channels = folder_shape(place, any_size=image_size is not None)
        image_size, channels = image_size or found_size, channels or found_channels
    return folder_source(place, image_size=image_size, channels=channels)


def array_source(path: epath.PathLike, value_range: tuple[float, float] | None = None) -> Source:
    """Opens the images of an `.npz` or `.npy` file.

    Args:
        path: The file. Of several arrays in it, `samples` (as `--mode=sample` writes it) or `arr_0` is taken. It is
            `[n, height, width, 1 or 3]`, or `[n, height, width]` for gray images.
        value_range: The values of black and white in a floating array, which are rounded to uint8. Default: -1 and 1,
            and an array without negative values is refused, because it is probably meant otherwise.

    Raises:
        UserError: There is no such file or array, or it does not hold images within the range.
    """
    try:
        arrays = files.read_arrays(user_path(path, "path"), _choose_array)
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot read {path}: {one_line(error)}. Give another file.") from error
    if not arrays:
        raise UserError(f"{path} has no array 'samples'. Save one: numpy.savez(path, samples=images).")
    ((name, images),) = arrays.items()
    where = f"{path}: {name}"
    if images.ndim == 3 and images.shape[-1] not in (1, 3):
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise UserError(
            f"{where} must be images [n, height, width, 1 or 3] or gray ones [n, height, width], got shape "
            f"{images.shape}."
        )
    images = _to_uint8(where, images, value_range)
    return Source(str(path), len(images), images.shape[1:], images.__getitem__, decode_images)


def _choose_array(names):
    known = [name for name in ("samples", files.SINGLE) if name in names]
    return known[:1] or names * (len(names) == 1)


def _to_uint8(where, images, value_range):
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise UserError(f"{where} must be uint8, or floating within [-1, 1], got {images.dtype}.")
    bad = int((~np.isfinite(images)).any((1, 2, 3)).sum())
    if bad:
        raise UserError(f"{where}: {bad} of {len(images)} images hold NaN or infinity. Leave them out.")
    low, high = value_range or (-1.0, 1.0)
    lowest, highest = float(images.min()), float(images.max())
    tolerance = _TOLERANCE * (high - low) / 2
    if lowest < low - tolerance or highest > high + tolerance:
        raise UserError(
            f"{where} must lie within [{low:g}, {high:g}], got values from {lowest:.6g} to {highest:.6g}. Give the "
            "values of black and white, such as --range=0,1, or save uint8."
        )
    if value_range is None and lowest >= 0:
        raise UserError(
            f"{where} has no negative value, from {lowest:.6g} to {highest:.6g}: is black -1, or 0? Give --range=-1,1 "
            "or --range=0,1."
        )
    return np.rint((np.clip(images, low, high).astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)


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
