"""Image data sets of TensorFlow Datasets, read without TensorFlow from array_record files.

`python -m buresgan_jax.prepare NAME` downloads and prepares a set once; from then on only `tfds.data_source` is needed.
"""

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from buresgan_jax.data import _pixels
from buresgan_jax.data.source import Source, decode_images, memoized
from buresgan_jax.errors import UserError, did_you_mean

IMAGE_SETS = ("mnist", "fashion_mnist", "cifar10", "cifar100", "stl10", "celeb_a")  # those with a config of their own

# 108 pixels of the aligned 218x178 pictures, as in the DCGAN code: the face, hardly any background.
_DEFAULTS = {"celeb_a": {"image_size": 64, "crop": 108}}


def tfds_source(
    name: str,
    *,
    split: str = "train",
    data_dir: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    crop: int | str | None = None,
    resize: str = "lanczos",
    in_memory: bool = True,
    memory_limit_bytes: int = _pixels.MEMORY_LIMIT_BYTES,
) -> Source:
    """A prepared image data set of TensorFlow Datasets.

    Args:
        name: of a set with pictures of 8 or 16 bits, such as `cifar10`, `cifar100` (fine labels) or `emnist/letters`.
            Of several features with pictures `image` is taken; without one of that name there must be just one.
        split: a TFDS split such as `train`, `test`, `train[:1000]`; the paper trains on `unlabelled` of `stl10`.
        data_dir: where the set was prepared, local or `gs://`. Default: TFDS's own, `~/tensorflow_datasets` or the
            environment variable `TFDS_DATA_DIR`.
        image_size: height and width in pixels to resize to. Default: the set's own size, if all its pictures are
            squares of one; 64 for `celeb_a`.
        channels: 1 or 3. Default: 1 for gray sets.
        crop: side in pixels of the square cut from the center before resizing, "center" for the largest such square, or
            "none" to squeeze the whole picture. Default: 108 for `celeb_a` (of 218x178; 140 and 178 are common too),
            "center" for the others.
        resize: filter of the resizing, `lanczos` (the paper's), `bicubic`, `bilinear`, `box` or `nearest`.
        in_memory: keep decoded pictures in memory, so that each is decoded once, when it is first asked for.
        memory_limit_bytes: data sets whose decoded pixels need more are not kept. 8 GiB by default: all sets of the
            paper fit, the largest (`stl10`, unlabelled, 96x96) with 2.8 GB.

    Returns:
        A source of uint8 images `[image_size, image_size, channels]`; with labels where the set has a class of each
        picture as `label`, but for the unlabelled split of `stl10`.

    Raises:
        UserError: unknown name or split, a set without pictures, a value out of range or missing, or the set is not
            prepared (the message says how).
    """
    records = _Records(name, split, data_dir)
    defaults = {"image_size": records.image_size, "channels": records.channels, "crop": "center"}
    defaults |= _DEFAULTS.get(records.set_name, {})
    given = {"image_size": image_size, "channels": channels, "crop": crop}
    options = defaults | {option: value for option, value in given.items() if value is not None}
    if options["image_size"] is None:
        raise UserError(f"The pictures of {name!r} are not all squares of one size. Set image_size, in pixels.")
    pixel_format = _pixels.PixelFormat(**options, resize=resize).check()
    num_examples, shape = len(records), pixel_format.example_shape

    fetch = records.fetcher(records.image, lambda data: _pixels.read_pixels(data, pixel_format), shape, np.uint8)
    if in_memory and _fits(name, num_examples * int(np.prod(shape)), memory_limit_bytes):
        fetch = memoized(fetch, num_examples=num_examples, example_shape=shape)
    labels = None
    if records.has_labels and "unlabelled" not in split:  # that split of stl10 has the label -1 everywhere
        labels = records.fetcher("label", int, (), np.int64)
        labels = memoized(labels, num_examples=num_examples, example_shape=(), dtype=np.int64)
    return Source(name, num_examples, shape, fetch, decode_images, labels)


def open_builder(name: str, data_dir: str | None) -> Any:
    """The TFDS builder of a set.

    Args:
        name: of the set, with a builder's config after a slash where it has several.
        data_dir: where it lies or shall lie; None for TFDS's own folder.

    Returns:
        A `tfds.core.DatasetBuilder`, prepared or not. Sets that are prepared there need not be known to TFDS.

    Raises:
        UserError: there is no such set; the message gives the nearest one.
    """
    import tensorflow_datasets as tfds  # takes half a second

    try:
        return tfds.builder(name, data_dir=data_dir)
    except ImportError as error:
        raise UserError(f"{name!r} needs another package: {_first_line(error)}") from error
    except (ValueError, AssertionError) as error:  # AssertionError: there is no such version
        known, base = tfds.list_builders(with_community_datasets=False), name.partition("/")[0].partition(":")[0]
        if base in known:
            names = [f"{base}/{config}" for config in tfds.builder_cls(base).builder_configs]
            hint = did_you_mean(name, names, f"TFDS says: {_first_line(error)}")
            raise UserError(f"Unknown image set {name!r}.{hint}") from error
        folder = f"in {data_dir}" if data_dir else "in TFDS's own folder"
        raise UserError(
            f"Unknown image set {name!r}.{did_you_mean(name, known)} Use one of: {', '.join(IMAGE_SETS)}; another of "
            f"TFDS, see https://www.tensorflow.org/datasets/catalog; or one that lies prepared {folder} (data_dir)."
        ) from None


def prepare_command(name: str, data_dir: str | None) -> str:
    """The command that prepares a set.

    Args:
        name: of the set.
        data_dir: where it shall lie; None for TFDS's own folder.

    Returns:
        A shell command.
    """
    return f"python -m buresgan_jax.prepare {shlex.quote(name)}" + (
        f" --data_dir={shlex.quote(str(data_dir))}" if data_dir else ""
    )


def is_prepared(builder: Any) -> bool:
    """Whether the files of a TFDS builder are there; unlike `builder.is_prepared()` without a warning if they are not.

    Args:
        builder: a `tfds.core.DatasetBuilder`.

    Returns:
        True if they are, in any file format.
    """
    return (epath.Path(builder.data_path) / "dataset_info.json").exists()


class _Records:
    """A split as TFDS data source, whose images are still compressed.

    Attributes:
        set_name: without version and builder's config.
        image: the feature that holds the pictures.
        image_size: their height and width; None if these differ, or are not the same for all pictures.
        channels: 1 or 3.
        has_labels: whether the feature `label` holds a class.
    """

    def __init__(self, name: str, split: str, data_dir: str | None):
        import tensorflow_datasets as tfds

        builder = open_builder(name, data_dir)
        features = dict(builder.info.features.items())
        pictures = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
        image = "image" if "image" in pictures or len(pictures) != 1 else pictures[0]
        if image not in pictures or features[image].np_dtype not in (np.uint8, np.uint16):
            raise UserError(
                f"{name!r} has no feature 'image' of 8 or 16 bits, and no other single one with pictures, only: "
                f"{', '.join(sorted(features))}. Use a set of images."
            )
        self.set_name, self.image = builder.name, image
        height, width, channels = features[self.image].shape
        self.image_size, self.channels = height if height == width else None, 1 if channels == 1 else 3
        self.has_labels = isinstance(features.get("label"), tfds.features.ClassLabel)

        self._name, self._folder, command = name, builder.data_path, prepare_command(name, data_dir)
        self._mend = f"Remove that folder and run: {command}"
        if not is_prepared(builder):
            raise UserError(f"{name!r} is not prepared in {self._folder}. Run: {command}")
        decoders = {key: tfds.decode.SkipDecoding() for key in pictures}
        try:
            self._source = builder.as_data_source(split=split, decoders=decoders)
        except NotImplementedError:
            raise UserError(
                f"{name!r} in {self._folder} is prepared as {builder.info.file_format.value}, which only TensorFlow "
                f"reads; array_record is needed. Prepare it in another folder: {prepare_command(name, 'FOLDER')}"
            ) from None
        except ValueError as error:
            raise UserError(
                f"Cannot read split {split!r} of {name!r}. Use one of: {', '.join(builder.info.splits)}, or a part "
                f"such as train[:1000]. TFDS says: {_first_line(error)}"
            ) from error
        self.read([0])  # missing files are noticed now

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: list[int]) -> list[dict[str, Any]]:
        try:
            records = self._source.__getitems__(indices)
            if any(record[self.image] is None for record in records):  # how a file that was cut between records reads
                raise RuntimeError("records are missing")
        except RuntimeError as error:  # array_record's checksums do not fit, or a file is missing
            raise UserError(f"The data in {self._folder} are damaged ({_first_line(error)}). {self._mend}") from error
        return records

    def fetcher(
        self, field: str, convert: Callable[[Any], Any], shape: tuple[int, ...], dtype: type
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Returns a function from int64 indices `[n]` to the converted field, `[n, *shape]`."""

        def fetch(indices: np.ndarray) -> np.ndarray:
            values = np.empty((len(indices), *shape), dtype)

            def convert_some(positions: np.ndarray) -> None:
                some = self.read(indices[positions].tolist())
                for position, record in zip(positions, some, strict=True):
                    values[position] = self._converted(convert, record[field], int(indices[position]))

            list(_pixels.map_in_threads(convert_some, len(indices)))
            return values

        return fetch

    def _converted(self, convert: Callable[[Any], Any], value: Any, index: int) -> Any:
        try:
            return convert(value)
        except UserError:
            raise
        except Exception as error:  # Pillow's have no class in common
            raise UserError(f"Cannot read picture {index} of {self._name!r}: {_first_line(error)}") from error


def _fits(name: str, num_bytes: int, memory_limit_bytes: int) -> bool:
    if num_bytes > memory_limit_bytes:
        logging.warning(
            "%s needs %.1f GB decoded, above the limit of %.1f GB: it is decoded batch by batch.",
            name,
            num_bytes / 1e9,
            memory_limit_bytes / 1e9,
        )
    return num_bytes <= memory_limit_bytes


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
