"""Image data sets of TensorFlow Datasets, read without TensorFlow from array_record files.

`python -m buresgan_jax.prepare NAME` downloads and prepares a set once; from then on only `tfds.data_source` is needed.
"""

import difflib
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from etils import epath

from buresgan_jax.data import _pixels
from buresgan_jax.data.source import Source, decode_images, memoised
from buresgan_jax.errors import UserError


class _ImageSet(NamedTuple):
    image_size: int  # default; None stands for the size in the data set
    channels: int
    crop: int | str = "center"
    has_labels: bool = True


IMAGE_SETS: dict[str, _ImageSet] = {
    "mnist": _ImageSet(28, 1),
    "fashion_mnist": _ImageSet(28, 1),
    "cifar10": _ImageSet(32, 3),
    "cifar100": _ImageSet(32, 3),
    "stl10": _ImageSet(96, 3),
    # 108 pixels of the aligned 218x178 pictures, as in the DCGAN code: the face, hardly any background.
    "celeb_a": _ImageSet(64, 3, crop=108, has_labels=False),
}


def tfds_source(
    name: str,
    *,
    split: str = "train",
    data_dir: str | None = None,
    image_size: int | None = None,
    crop: int | str | None = None,
    resize: str = "lanczos",
    in_memory: bool = True,
    memory_limit_bytes: int = _pixels.MEMORY_LIMIT_BYTES,
) -> Source:
    """A prepared image data set of TensorFlow Datasets.

    Args:
        name: `mnist`, `fashion_mnist`, `cifar10`, `cifar100` (fine labels), `stl10` or `celeb_a`.
        split: a TFDS split such as `train`, `test`, `train[:1000]`; the paper trains on `unlabelled` of `stl10`.
        data_dir: where the set was prepared, local or `gs://`. Default: TFDS's own, `~/tensorflow_datasets` or the
            environment variable `TFDS_DATA_DIR`.
        image_size: height and width in pixels to resize to. Default: the set's own size; 64 for `celeb_a`.
        crop: side in pixels of the square cut from the centre before resizing, "center" for the largest such square, or
            "none" to squeeze the whole picture. Default: 108 for `celeb_a` (of 218x178; 140 and 178 are common too),
            "center" for the others, which are square.
        resize: filter of the resizing, `lanczos` (the paper's), `bicubic`, `bilinear`, `box` or `nearest`.
        in_memory: keep decoded pictures in memory, so that each is decoded once, when it is first asked for.
        memory_limit_bytes: data sets whose decoded pixels need more are not kept. 8 GiB by default: all sets of the
            paper fit, the largest (`stl10`, unlabelled, 96x96) with 2.8 GB.

    Returns:
        A source of uint8 images `[image_size, image_size, channels]`, without labels for `celeb_a` and the unlabelled
        split of `stl10`.

    Raises:
        UserError: unknown name or split, a value out of range, or the set is not prepared (the message says how).
    """
    check_set_name(name)
    image_set = IMAGE_SETS[name]
    pixel_format = _pixels.PixelFormat(
        image_size=image_set.image_size if image_size is None else image_size,
        channels=image_set.channels,
        crop=image_set.crop if crop is None else crop,
        resize=resize,
    ).check()
    records = _Records(name, split, data_dir)
    num_examples, shape = len(records), pixel_format.example_shape

    fetch = records.fetcher("image", lambda data: _pixels.read_pixels(data, pixel_format), shape, np.uint8)
    if in_memory and _fits(name, num_examples * int(np.prod(shape)), memory_limit_bytes):
        fetch = memoised(fetch, num_examples=num_examples, example_shape=shape)
    labels = None
    if image_set.has_labels and "unlabelled" not in split:  # that split of stl10 has the label -1 everywhere
        labels = records.fetcher("label", int, (), np.int64)
        labels = memoised(labels, num_examples=num_examples, example_shape=(), dtype=np.int64)
    return Source(name, num_examples, shape, fetch, decode_images, labels)


def check_set_name(name: str) -> None:
    """Refuses the name of a data set that is not offered.

    Args:
        name: of a TFDS image set.

    Raises:
        UserError: the name is unknown; the message gives the nearest one.
    """
    if name not in IMAGE_SETS:
        nearest = difflib.get_close_matches(str(name), IMAGE_SETS, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UserError(f"Unknown image set {name!r}.{hint} Use one of: {', '.join(IMAGE_SETS)}.")


def prepare_command(name: str, data_dir: str | None) -> str:
    """The command that prepares a set.

    Args:
        name: of the set.
        data_dir: where it shall lie; None for TFDS's own folder.

    Returns:
        A shell command.
    """
    return f"python -m buresgan_jax.prepare {name}" + (f" --data_dir={shlex.quote(str(data_dir))}" if data_dir else "")


def is_prepared(builder: Any) -> bool:
    """Whether the files of a TFDS builder are there; unlike `builder.is_prepared()` without a warning if they are not.

    Args:
        builder: a `tfds.core.DatasetBuilder`.

    Returns:
        True if they are, in any file format.
    """
    return (epath.Path(builder.data_path) / "dataset_info.json").exists()


class _Records:
    """A split as TFDS data source, whose images are still compressed."""

    def __init__(self, name: str, split: str, data_dir: str | None):
        import tensorflow_datasets as tfds  # takes half a second

        builder = tfds.builder(name, data_dir=data_dir)
        self._folder, command = builder.data_path, prepare_command(name, data_dir)
        self._mend = f"Remove that folder and run: {command}"
        if not is_prepared(builder):
            raise UserError(f"{name!r} is not prepared in {self._folder}. Run: {command}")
        try:
            self._source = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
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
            if any(record["image"] is None for record in records):  # how a file that was cut between records reads
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
                values[positions] = [convert(record[field]) for record in some]

            list(_pixels.map_in_threads(convert_some, len(indices)))
            return values

        return fetch


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
