"""Image data sets of TensorFlow Datasets (TFDS), read from array_record files without TensorFlow.

`python -m buresgan_jax.prepare NAME` downloads and prepares a data set once; reading it needs only `tfds.data_source`.
"""

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from buresgan_jax import declarations
from buresgan_jax.data import _pixels, options
from buresgan_jax.data.augment import with_flips
from buresgan_jax.data.source import Description, Source, decode_images, describe_images, memoized
from buresgan_jax.errors import UserError, did_you_mean
from buresgan_jax.runtime.paths import user_path

# 108 pixels of the aligned 218x178 pictures, as in the DCGAN code: the face, hardly any background.
_DEFAULTS = {"celeb_a": {"image_size": 64, "crop": 108}}
# Errors of files that can be reached, but are not what they should be.
_WRONG_FILES = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


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
    """Opens a prepared image data set of TensorFlow Datasets.

    Args:
        name: A data set with pictures of 8 or 16 bits, such as `cifar10`, `cifar100` (fine labels) or `emnist/letters`.
            If several features hold pictures, `image` is used; without one of that name there must be only one.
        split: A TFDS split such as `train`, `test`, `train[:1000]`; the paper trains on `unlabelled` of `stl10`.
        data_dir: The folder of the prepared data sets, local or `gs://`. Default: TFDS's own, `~/tensorflow_datasets`
            or the environment variable `TFDS_DATA_DIR`.
        image_size: Height and width of the images in pixels. Default: the size of the pictures, if all are squares of
            one size; 64 for `celeb_a`.
        channels: 1 or 3. Default: 1 for gray data sets.
        crop: Side in pixels of the square that is cut from the center before resizing, "center" for the largest such
            square, or "none" to stretch the whole picture. Default: 108 for `celeb_a` (of 218x178; 140 and 178 are
            common too), "center" for all others.
        resize: Filter of the resizing, `lanczos` (the paper's), `bicubic`, `bilinear`, `box` or `nearest`.
        in_memory: Whether decoded images stay in memory, so that each is decoded only once, when it is first needed.
        memory_limit_bytes: Images of data sets that need more memory do not stay there. Default: 8 GiB, enough for all
            data sets of the paper; the largest (`stl10`, unlabelled, 96x96) needs 2.8 GB.

    Returns:
        A source of uint8 images `[image_size, image_size, channels]`. It has labels if the data set has a class of each
        picture as `label`; the unlabelled split of `stl10` has none.

    Raises:
        UserError: Unknown name or split, a data set without pictures, a value that is missing or out of range, or a
            data set that is not prepared (the message says how to prepare it).
    """
    records = _Records(name, split, data_dir)
    chosen = {"image_size": records.image_size, "channels": records.channels, "crop": "center"}
    chosen |= _DEFAULTS.get(records.set_name, {})
    given = {"image_size": image_size, "channels": channels, "crop": crop}
    chosen |= {option: value for option, value in given.items() if value is not None}
    if chosen["image_size"] is None:
        raise UserError(f"The pictures of {name!r} are not all squares of one size. Set image_size, in pixels.")
    pixel_format = _pixels.PixelFormat(**chosen, resize=resize).check()
    num_examples, shape = len(records), pixel_format.example_shape

    fetch = records.fetcher(records.image, lambda data: _pixels.read_pixels(data, pixel_format), shape, np.uint8)
    if in_memory and _fits(name, num_examples * int(np.prod(shape)), memory_limit_bytes):
        fetch = memoized(fetch, num_examples=num_examples, example_shape=shape)
    labels, num_classes = None, None
    if records.has_labels and _is_labeled(split):
        labels, num_classes = records.fetcher("label", int, (), np.int64), records.num_classes
        labels = memoized(labels, num_examples=num_examples, example_shape=(), dtype=np.int64)
    return Source(name, num_examples, shape, fetch, decode_images, labels, num_classes=num_classes)


def tfds_fingerprint(name: str, split: str, data_dir: str | None) -> str:
    """Returns a text with the version and the sizes of a prepared data set; see `tfds_source`."""
    info = open_builder(name, data_dir).info
    number = info.splits[split].num_examples
    return f"{info.full_name}, {number} pictures in {split}, {info.dataset_size:,} bytes in all"


def _is_labeled(split: str) -> bool:
    return "unlabelled" not in split  # that split of stl10 has the label -1 everywhere


def _data_set(name: str, meaning: str, num_classes: int | None = None) -> declarations.Component:
    """Declares a TFDS data set under its own name."""

    def describe(*, split: str, image_size: int | None, channels: int, **_) -> Description:
        return describe_images(image_size, channels, num_classes=num_classes if _is_labeled(split) else None)

    def fingerprint(*, split: str, data_dir: str | None, **_) -> str:
        return tfds_fingerprint(name, split, data_dir)

    own_options = (options.SPLIT, options.DATA_DIR, options.IMAGE_SIZE, options.CHANNELS, options.FLIP)

    @declarations.data(name, meaning, *own_options, describe=describe, fingerprint=fingerprint)
    def build(
        *, seed: int, split: str, data_dir: str | None, image_size: int | None, channels: int, flip: bool
    ) -> Source:
        del seed  # every run has the same images
        source = tfds_source(name, split=split, data_dir=data_dir, image_size=image_size, channels=channels)
        return with_flips(source, flip)

    return build


mnist = _data_set("mnist", "gray digits, 28 x 28, 10 classes", 10)
fashion_mnist = _data_set("fashion_mnist", "gray clothes, 28 x 28, 10 classes", 10)
cifar10 = _data_set("cifar10", "color photographs of 10 classes, 32 x 32", 10)
cifar100 = _data_set("cifar100", "color photographs of 100 classes, 32 x 32", 100)
stl10 = _data_set("stl10", "color photographs of 10 classes, 96 x 96; 100,000 unlabelled ones", 10)
celeb_a = _data_set("celeb_a", "faces of celebrities, the centers of 178 x 218 pixels")

# The data sets above; any other is `tfds`.
IMAGE_SETS = tuple(component.name for component in (mnist, fashion_mnist, cifar10, cifar100, stl10, celeb_a))


def _fingerprint_any(*, base: str, split: str, data_dir: str | None, **_) -> str:
    return tfds_fingerprint(base, split, data_dir)


def _describe_any(*, image_size: int | None, channels: int, **_) -> Description:
    return describe_images(image_size, channels)


@declarations.data(
    "tfds",
    "any image data set of TensorFlow Datasets",
    options.BASE,
    options.SPLIT,
    options.DATA_DIR,
    options.IMAGE_SIZE,
    options.CHANNELS,
    options.CROP,
    options.FLIP,
    describe=_describe_any,
    fingerprint=_fingerprint_any,
)
def tfds(
    *,
    seed: int,
    base: str,
    split: str,
    data_dir: str | None,
    image_size: int | None,
    channels: int,
    crop: str | int,
    flip: bool,
) -> Source:
    """Opens any prepared image data set of TFDS; see `tfds_source`."""
    del seed  # every run has the same images
    crop = None if crop == "center" else _pixels.parse_crop(crop)  # None: the data set's own, at the center too
    size = {"image_size": image_size, "channels": channels, "crop": crop}
    return with_flips(tfds_source(base, split=split, data_dir=data_dir, **size), flip)


def open_builder(name: str, data_dir: str | None) -> Any:
    """Makes the TFDS builder of a data set.

    Args:
        name: The data set, followed by a slash and a builder's config if it has several.
        data_dir: The folder of prepared data sets; None for TFDS's own.

    Returns:
        A `tfds.core.DatasetBuilder`, prepared or not. Data sets that are prepared in the folder need not be known to
        TFDS.

    Raises:
        UserError: There is no such data set; the message suggests the nearest one.
    """
    import tensorflow_datasets as tfds  # takes half a second

    data_dir = None if data_dir is None else user_path(data_dir, "data_dir")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except ImportError as error:
        raise UserError(f"{name!r} needs another package: {_first_line(error)}") from error
    except Exception as error:  # TFDS raises nearly anything on damaged files; AssertionError: no such version
        folder = f"in {data_dir}" if data_dir else "in TFDS's own folder"
        if reason := _failed_access(error):
            raise UserError(
                f"{name!r} {folder} cannot be read: {reason}. Fix the permissions or the connection, and try again."
            ) from error
        known, base = tfds.list_builders(with_community_datasets=False), name.partition("/")[0].partition(":")[0]
        is_unknown = isinstance(error, AssertionError | tfds.core.DatasetNotFoundError) or "BuilderConfig" in str(error)
        if not is_unknown or "DatasetInfo" in str(error):
            fix = f"Remove that folder and run: {prepare_command(name, data_dir)}" if base in known else "Restore it."
            reason = _first_line(error).rpartition('}": ')[2].rstrip(".")
            raise UserError(
                f"{name!r} {folder} is damaged: its dataset_info.json or features.json cannot be used ({reason}). {fix}"
            ) from error
        if base in known:
            names = [f"{base}/{config}" for config in tfds.builder_cls(base).builder_configs]
            hint = did_you_mean(name, names, f"TFDS says: {_first_line(error)}")
            raise UserError(f"Unknown image set {name!r}.{hint}") from error
        raise UserError(
            f"Unknown image set {name!r}.{did_you_mean(name, known)} Use one of: {', '.join(IMAGE_SETS)}; another TFDS "
            f"data set, see https://www.tensorflow.org/datasets/catalog; or one that is prepared {folder} (data_dir)."
        ) from None


def prepare_command(name: str, data_dir: str | None) -> str:
    """Returns the command that prepares a data set.

    Args:
        name: The data set.
        data_dir: The folder for prepared data sets; None for TFDS's own.

    Returns:
        A shell command.
    """
    return f"python -m buresgan_jax.prepare {shlex.quote(name)}" + (
        f" --data_dir={shlex.quote(str(data_dir))}" if data_dir else ""
    )


def is_prepared(builder: Any) -> bool:
    """Tells whether the files of a TFDS builder exist; unlike `builder.is_prepared()`, it does not warn if not.

    Args:
        builder: A `tfds.core.DatasetBuilder`.

    Returns:
        True if they exist, in any file format.
    """
    return (epath.Path(builder.data_path) / "dataset_info.json").exists()


class _Records:
    """A split as a TFDS data source, whose pictures are still encoded.

    Attributes:
        set_name: Name without version and builder's config.
        image: The feature that holds the pictures.
        image_size: Height and width of the pictures; None if these differ, or vary from picture to picture.
        channels: 1 or 3.
        has_labels: Whether the feature `label` holds a class.
        num_classes: Number of classes; None if TFDS does not know it.
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
                f"{', '.join(sorted(features))}. Use an image data set."
            )
        self.set_name, self.image = builder.name, image
        height, width, channels = features[self.image].shape
        self.image_size, self.channels = height if height == width else None, 1 if channels == 1 else 3
        label = features.get("label")
        self.has_labels = isinstance(label, tfds.features.ClassLabel)
        self.num_classes = label.num_classes if self.has_labels else None

        self._name, self._folder, command = name, builder.data_path, prepare_command(name, data_dir)
        self._fix = f"Remove that folder and run: {command}"
        if not is_prepared(builder):
            raise UserError(f"{name!r} is not prepared in {self._folder}. Run: {command}")
        self._source = self._open(builder, split, {key: tfds.decode.SkipDecoding() for key in pictures})
        self.read([0])  # reports missing files now

    def _open(self, builder: Any, split: str, decoders: dict[str, Any]) -> Any:
        try:
            source = builder.as_data_source(split=split, decoders=decoders)
            if len(source) < 1:  # such as train[5:3]
                raise ValueError("the split is empty")
            return source
        except NotImplementedError:
            raise UserError(
                f"{self._name!r} in {self._folder} is prepared as {builder.info.file_format.value}, which only "
                "TensorFlow reads; array_record is needed. Prepare it in another folder: "
                f"{prepare_command(self._name, 'FOLDER')}"
            ) from None
        except (ValueError, AssertionError, IndexError, KeyError) as error:  # TFDS lets each of them through
            raise UserError(
                f"Cannot read split {split!r} of {self._name!r}. Use one of: {', '.join(builder.info.splits)}, or a "
                f"part such as train[:1000]. TFDS says: {_first_line(error)}"
            ) from error

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: list[int]) -> list[dict[str, Any]]:
        try:
            records = self._source.__getitems__(indices)
            if any(record[self.image] is None for record in records):  # a file that was truncated between records
                raise RuntimeError("records are missing")
        except RuntimeError as error:  # array_record's checksums do not fit, or a file is missing
            raise UserError(f"The data in {self._folder} are damaged ({_first_line(error)}). {self._fix}") from error
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
        except Exception as error:  # Pillow's exceptions have no common base class
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


def _failed_access(error: BaseException | None) -> str:
    """Returns why files could not be read, as an error or one that it wraps says; empty if they were, or are none."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, _WRONG_FILES):
            return error.strerror or _first_line(error).rstrip(".")
        error = error.__cause__
    return ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
