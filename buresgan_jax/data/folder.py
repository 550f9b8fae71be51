"""A folder of pictures of any format, size and color mode as a data set."""

import hashlib
import os
from collections.abc import Callable
from typing import IO

import numpy as np
from absl import logging
from etils import epath
from PIL import Image, UnidentifiedImageError

from buresgan_jax import declarations
from buresgan_jax.data import _pixels, options
from buresgan_jax.data._listing import Listing, count, list_pictures, some
from buresgan_jax.data.augment import with_flips
from buresgan_jax.data.source import Description, Source, decode_images, describe_images
from buresgan_jax.errors import UserError
from buresgan_jax.runtime import progress_bar
from buresgan_jax.runtime.paths import user_path

_NUM_SIZES = 3  # of pictures, that a message names

_PATH = declarations.Option("path", None, "folder of pictures, local or gs://", kind=str, is_free=True)
_ON_BROKEN = declarations.Option(
    "on_broken", "skip", "broken files: skip them with a warning, or stop with an error", choices=("skip", "error")
)


def folder_source(
    path: epath.PathLike,
    *,
    image_size: int,
    channels: int = 3,
    crop: int | str = "center",
    resize: str = "lanczos",
    recursive: bool = True,
    on_broken: str = "skip",
    max_broken_fraction: float = 0.1,
    in_memory: bool = True,
    memory_limit_bytes: int = _pixels.MEMORY_LIMIT_BYTES,
) -> Source:
    """Opens all pictures of a folder: the formats of `_pixels.FORMATS`, such as PNG, JPEG, WebP, GIF, BMP and TIFF.

    Files are sorted by their paths below the folder, compared character by character, so that every machine sees the
    same order. Hidden files and folders (names that begin with a dot) are ignored. Links to folders are followed, and
    each folder is read once. The first frame of an animation is used, the orientation in EXIF data is applied,
    transparent pictures are laid over white, and color is converted to gray or gray to color to match `channels`. A log
    line, a warning if files or folders are left out, says how many pictures of which formats are used.

    Args:
        path: The folder, local or `gs://`.
        image_size: Height and width of the images in pixels.
        channels: 3 for color, 1 for gray.
        crop: How pictures are made square before resizing: "center" cuts the largest square from the center, a number
            cuts a square of that side, "none" stretches the whole picture.
        resize: `lanczos`, `bicubic`, `bilinear`, `box` or `nearest`.
        recursive: Whether to read subfolders too.
        on_broken: How to treat files that cannot be decoded: "skip" leaves them out, "error" refuses the folder.
        max_broken_fraction: With "skip", the folder is refused if a larger fraction of its files is broken.
        in_memory: Whether to decode all pictures now and keep them. Otherwise, or above the memory limit, only the
            headers are checked now, pictures are decoded batch by batch, and a file that turns out to be truncated
            stops the run.
        memory_limit_bytes: Largest size of the decoded pixels in memory; 8 GiB by default.

    Returns:
        A source of uint8 images `[image_size, image_size, channels]` without labels.

    Raises:
        UserError: The folder does not exist, is a file or is empty, too many files are broken, a file cannot be opened,
            or an argument is out of range.
    """
    pixel_format = _pixels.PixelFormat(image_size, channels, crop, resize).check()
    if on_broken not in ("skip", "error"):
        raise UserError(f"on_broken {on_broken!r} is unknown. Set it to skip or error.")
    root = user_path(path, "path")
    listing = list_pictures(root, recursive=recursive)
    paths = listing.pictures
    in_memory = in_memory and len(paths) * int(np.prod(pixel_format.example_shape)) <= memory_limit_bytes
    survey = _decode_all if in_memory else _check_headers
    examples, broken = survey(paths, pixel_format)
    problems = _check_broken(listing, broken, None if on_broken == "error" else max_broken_fraction)
    good = np.setdiff1d(np.arange(len(paths)), list(broken))
    _report(listing, good, problems)

    def fetch(indices: np.ndarray) -> np.ndarray:
        return examples[good[indices]] if in_memory else _decode_some(paths, good[indices], pixel_format)

    return Source(str(path), len(good), pixel_format.example_shape, fetch, decode_images)


def _describe(*, image_size: int | None, channels: int, **_) -> Description:
    return describe_images(image_size, channels)


def _fingerprint(*, path: str | None, **_) -> str:
    root = user_path(path or ".", "config.data.path")
    pictures, total, digest = list_pictures(root, recursive=True).pictures, 0, hashlib.sha256()
    for picture in pictures:
        size = picture.stat().length
        total += size
        digest.update(b"%s %d\n" % (os.fsencode(picture.relative_to(root)), size))
    return f"{len(pictures)} pictures of {total:,} bytes (names and sizes {digest.hexdigest()[:12]})"


@declarations.data(
    "image_folder",
    "a folder of pictures of any format and size",
    _PATH,
    options.IMAGE_SIZE,
    options.CHANNELS,
    options.CROP,
    _ON_BROKEN,
    options.FLIP,
    describe=_describe,
    fingerprint=_fingerprint,
)
def image_folder(
    *, seed: int, path: str | None, image_size: int | None, channels: int, crop: str | int, on_broken: str, flip: bool
) -> Source:
    """Opens a folder of images; see `folder_source`.

    Raises:
        UserError: `path` or `image_size` is None, or the folder cannot be used.
    """
    del seed  # every run has the same images
    if path is None:
        raise UserError("config.data.path is not set. Set it to a folder of images: --config.data.path=FOLDER.")
    size, _, _ = describe_images(image_size, channels).example_shape
    crop = _pixels.parse_crop(crop)
    source = folder_source(path, image_size=size, channels=channels, crop=crop, on_broken=on_broken)
    return with_flips(source, flip)


def folder_shape(path: epath.PathLike, *, any_size: bool = False) -> tuple[int | None, int]:
    """Finds the size and the number of channels that all pictures of a folder share, from their headers.

    Args:
        path: The folder.
        any_size: Whether sizes may differ.

    Returns:
        Height and width in pixels, None with `any_size`; and channels: 1 if all pictures are gray, else 3.

    Raises:
        UserError: There is no such folder, it has no pictures, or they are not all squares of one size.
    """
    root = user_path(path, "path")
    listing, seen = list_pictures(root, recursive=True), {}
    paths = listing.pictures

    def look(position: int) -> None:
        with _open(paths[position]) as file, Image.open(file, formats=_pixels.formats()) as image:
            seen[position] = (image.size, image.mode)

    broken = _find_broken(paths, look)
    if not seen:
        _check_broken(listing, broken, 0.0)
    channels = 1 if all(mode in ("1", "L") or mode.startswith("I") for _, mode in seen.values()) else 3
    if any_size:
        return None, channels
    sizes = sorted({size for size, _ in seen.values()})
    if len(sizes) > 1 or sizes[0][0] != sizes[0][1]:
        examples = [f"{width}x{height}" for width, height in sizes[:_NUM_SIZES]] + ["..."] * (len(sizes) > _NUM_SIZES)
        raise UserError(
            f"The pictures in {str(root)!r} are not squares of one size, but {', '.join(examples)}. "
            "Give an image size in pixels to crop and resize them to."
        )
    return sizes[0][0], channels


def _decode_all(paths: list[epath.Path], pixel_format: _pixels.PixelFormat) -> tuple[np.ndarray, dict[int, str]]:
    """Returns all images, uint8 `[files, *example_shape]`, and the reasons of those that cannot be decoded."""
    examples = np.empty((len(paths), *pixel_format.example_shape), np.uint8)

    def decode(position: int) -> None:
        examples[position] = _pixels.read_pixels(_read_bytes(paths[position]), pixel_format)

    return examples, _find_broken(paths, decode)


def _check_headers(paths: list[epath.Path], pixel_format: _pixels.PixelFormat) -> tuple[None, dict[int, str]]:
    """Maps the positions of pictures that cannot be opened to the reasons; pixels are not decoded."""

    def check(position: int) -> None:
        with _open(paths[position]) as file, Image.open(file, formats=_pixels.formats()) as image:
            _pixels.crop_box(image.size, pixel_format.crop)

    return None, _find_broken(paths, check)


def _decode_some(paths: list[epath.Path], positions: np.ndarray, pixel_format: _pixels.PixelFormat) -> np.ndarray:
    examples = np.empty((len(positions), *pixel_format.example_shape), np.uint8)

    def decode(index: int) -> None:
        examples[index] = _pixels.read_pixels(_read_bytes(paths[positions[index]]), pixel_format)

    for index, reason in _find_broken([paths[position] for position in positions], decode, progress=False).items():
        raise UserError(f"Cannot decode {str(paths[positions[index]])!r}: {reason}. Replace the file and restart.")
    return examples


def _find_broken(paths: list[epath.Path], work: Callable[[int], None], *, progress: bool = True) -> dict[int, str]:
    """Calls `work` with the position of each path; maps positions where it failed to the reasons."""

    def try_some(positions: np.ndarray) -> dict[int, str]:
        return {position: reason for position in positions.tolist() if (reason := _failure(work, position, paths))}

    broken = {}
    options = {"unit": "file", "leave": True, "disable": None if progress else True}
    with progress_bar.track(description="Reading pictures", total=len(paths), **options) as bar:
        for positions, some in _pixels.map_in_threads(lambda chunk: (chunk, try_some(chunk)), len(paths)):
            broken.update(some)
            bar.update(len(positions))
    return broken


def _failure(work: Callable[[int], None], position: int, paths: list[epath.Path]) -> str:
    """Returns the reason why a picture cannot be decoded, or an empty string."""
    try:
        work(position)
    except UserError as error:
        raise UserError(f"{str(paths[position])!r}: {error}") from error
    except UnidentifiedImageError:
        return "not a picture"
    except Exception as error:  # Pillow's readers raise almost anything on damaged files
        return next(iter(str(error).splitlines()), "") or type(error).__name__
    return ""


def _read_bytes(path: epath.Path) -> bytes:
    with _open(path) as file:
        return file.read()


def _open(path: epath.Path) -> IO[bytes]:
    # Not a broken picture: another process of the run may be able to read the file, and batches would differ.
    try:
        return path.open("rb")
    except OSError as error:
        raise UserError(f"cannot be opened ({error.strerror or error}). Fix its permissions or remove it.") from error


def _check_broken(listing: Listing, broken: dict[int, str], most: float | None) -> list[str]:
    """Returns what to say of broken files; raises if more than the fraction `most` is, or any if it is None."""
    names = [f"{listing.pictures[number].relative_to(listing.root)}: {broken[number]}" for number in sorted(broken)]
    text = f"{len(names)} of {len(listing.pictures)} pictures in {str(listing.root)!r} cannot be decoded"
    if most is None and (names or listing.unreadable):
        text = text if names else f"A folder in {str(listing.root)!r} cannot be read"
        raise UserError(f"{text} ({some(names or listing.unreadable)}). Mend or remove it, or set on_broken to skip.")
    if names and (len(names) == len(listing.pictures) or len(names) > most * len(listing.pictures)):
        raise UserError(f"{text}, more than the allowed fraction of {most:g} ({some(names)}). Remove or replace them.")
    return [f"{count(names, 'broken picture', 'broken pictures')} ({some(names)})"] if names else []


def _report(listing: Listing, good: np.ndarray, broken: list[str]) -> None:
    """Says once how many pictures are used, and how many are left out and why."""
    text = f"{listing.root}: using {count(good, 'picture', 'pictures')} ({listing.formats(good)})"
    left_out = broken + listing.left_out()
    if left_out:
        logging.warning("%s. Left out: %s.", text, "; ".join(left_out))
    else:
        logging.info("%s.", text)
