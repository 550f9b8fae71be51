"""`python -m buresgan_jax.prepare cifar10`: downloads and prepares an image data set of TensorFlow Datasets, once.

Only this program needs TensorFlow (`pip install -e ".[prepare]"`). It writes array_record files, which are read without
TensorFlow.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from etils import epath

from buresgan_jax.cli.arguments import Parser
from buresgan_jax.cli.exit_status import exit_status
from buresgan_jax.data.images import IMAGE_SETS, is_prepared, open_builder
from buresgan_jax.errors import UserError, one_line
from buresgan_jax.runtime.paths import user_path

# The files that TFDS would download, by TFDS's names.
ORIGINAL_FILES: dict[str, tuple[str, ...]] = {
    "mnist": (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ),
    "fashion_mnist": (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ),
    "cifar10": ("cifar-10-binary.tar.gz",),
    "cifar100": ("cifar-100-binary.tar.gz",),
    "stl10": ("stl10_binary.tar.gz",),
    "celeb_a": (
        "img_align_celeba.zip",
        "list_eval_partition.txt",
        "list_attr_celeba.txt",
        "list_landmarks_align_celeba.txt",
        "identity_CelebA.txt",
    ),
}


def prepare(name: str, *, data_dir: str | None = None, manual_dir: str | None = None) -> str:
    """Downloads a data set and writes it as array_record files; does nothing if the set is already prepared.

    Args:
        name: One of `data.IMAGE_SETS`, or any other set of TFDS.
        data_dir: Folder to write to, local or `gs://`. Default: TFDS's folder, `~/tensorflow_datasets` or the
            environment variable `TFDS_DATA_DIR`.
        manual_dir: Folder that holds the original files (`ORIGINAL_FILES[name]`), for machines without network, and
            for sets that must be downloaded by hand.

    Returns:
        One line with the set's folder, its number of images and its size.

    Raises:
        UserError: The name is unknown, TensorFlow or another required package is missing, there is no network, original
            files are missing or wrong, or the folder cannot be used.
    """
    builder = open_builder(name, data_dir)
    if is_prepared(builder):
        _check_format(builder)
        return f"Already prepared: {_describe(builder)}"
    if manual_dir is not None:
        manual_dir = str(user_path(manual_dir, "--manual_dir"))
        _check_original_files(builder, manual_dir)
    elif builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise UserError(
            f"{name!r} needs --manual_dir. TFDS says: {' '.join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}"
        )
    _import_tensorflow()
    _download_and_prepare(builder, manual_dir)
    if not is_prepared(builder):
        raise UserError(f"{builder.data_path} exists but is not a prepared data set. Remove it and start again.")
    return f"Prepared {_describe(builder)}. {_downloads(builder)} is no longer needed."


def _import_tensorflow() -> None:
    """Makes sure that TensorFlow is installed and does not use the GPUs."""
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            "Preparing a data set needs TensorFlow: pip install tensorflow-cpu (on Linux; elsewhere tensorflow)."
        )
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def _download_and_prepare(builder: Any, manual_dir: str | None) -> None:
    import requests  # a dependency of TFDS
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(
        manual_dir=manual_dir,
        # By default TFDS finds extracted files by their names alone. mnist and fashion_mnist have files of equal names,
        # so the second of these sets would be a copy of the first.
        extract_dir=_downloads(builder) / "extracted" / builder.name,
        try_download_gcs=False,
        force_checksums_validation=True,
    )
    try:
        if manual_dir is None and builder.url_infos:
            # One quick attempt, because TFDS itself retries for minutes.
            requests.head(next(iter(builder.url_infos)), timeout=30)
        builder.download_and_prepare(download_config=config, file_format="array_record")
    except NonMatchingChecksumError as error:
        raise UserError(
            f"The checksum of a file of {builder.name!r} differs from the original's. Download the file again. TFDS "
            f"says: {one_line(error)}"
        ) from error
    except (requests.exceptions.RequestException, DownloadError) as error:
        files = ", ".join(_original_files(builder)) or "its files"
        raise UserError(
            f"Cannot download {builder.name!r}. Check the network, or download {files} on another machine and give "
            f"their folder as --manual_dir. Cause: {one_line(error)}"
        ) from error
    except ImportError as error:
        raise UserError(f"Preparing {builder.name!r} needs another package: {one_line(error)}") from error
    except (OSError, AssertionError, ValueError) as error:  # from TFDS's own checks of the files
        raise UserError(f"Cannot prepare {builder.name!r} in {builder.data_path}: {one_line(error)}") from error


def _check_format(builder: Any) -> None:
    file_format = builder.info.file_format.value
    if file_format != "array_record":
        raise UserError(
            f"{builder.name!r} is prepared in {builder.data_path} as {file_format}, not as array_record. Give another "
            "--data_dir, or remove that folder."
        )


def _original_files(builder: Any) -> list[str]:
    """Returns the names of the files to download by hand, as far as they are known."""
    known = [info.filename for info in builder.url_infos.values() if info.filename]
    return list(ORIGINAL_FILES.get(builder.name, known))


def _check_original_files(builder: Any, manual_dir: str) -> None:
    expected = [] if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else _original_files(builder)  # instructions are prose
    missing = [file for file in expected if not (epath.Path(manual_dir) / file).exists()]
    if missing:
        raise UserError(
            f"manual_dir {manual_dir!r} lacks {', '.join(missing)}. Put the original files of {builder.name!r} there "
            "under these names."
        )


def _downloads(builder: Any) -> epath.Path:
    return epath.Path(builder.data_dir_root) / "downloads"


def _describe(builder: Any) -> str:
    splits = ", ".join(f"{split} {info.num_examples:,}" for split, info in builder.info.splits.items())
    num_bytes = sum(file.stat().length for file in epath.Path(builder.data_path).iterdir())
    return f"{builder.name} {builder.version} ({splits} pictures), {num_bytes / 2**20:.1f} MiB in {builder.data_path}"


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    files = "\n".join(f"  {name}: {', '.join(files)}" for name, files in ORIGINAL_FILES.items())
    parser = Parser(
        prog="python -m buresgan_jax.prepare",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Downloads an image data set and prepares it for training, once. Needs TensorFlow:\n"
            "pip install tensorflow-cpu. Training and evaluation do not."
        ),
        epilog=f"Original files for --manual_dir, exactly as published, for machines without network:\n{files}",
    )
    parser.add_argument("name", help=f"one of {', '.join(IMAGE_SETS)}, or another set of TFDS")
    parser.add_argument(
        "--data_dir", help="folder to write to (default: ~/tensorflow_datasets or the variable TFDS_DATA_DIR)"
    )
    parser.add_argument("--manual_dir", help="folder with the original files (see below)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Arguments without the program's name. Default: those of the process.

    Returns:
        Exit status: 0; 2 for an error that the user can fix, reported in one line on standard error; 1 if nobody
        reads the output any more; 130 for Ctrl-C.
    """
    flags = _parse_arguments(arguments)
    # These silence TensorFlow's startup messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # At an interruption TFDS removes what is half written.
    return exit_status(lambda: print(prepare(flags.name, data_dir=flags.data_dir, manual_dir=flags.manual_dir)))


if __name__ == "__main__":
    sys.exit(main())
