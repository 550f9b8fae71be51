"""From the bytes of a picture to pixels, on all cores; shared by TFDS data sets and folders.

A *picture* is an encoded file or record of any size; an *image* is the array of pixels that it is decoded to.
"""

import functools
import io
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from buresgan_jax.errors import UserError
from buresgan_jax.runtime.cores import available_cores

T = TypeVar("T")

MEMORY_LIMIT_BYTES = 8 * 2**30  # data sets whose decoded pixels need more are decoded batch by batch
# Those of Pillow's formats that are pictures and need no other program. JPEG covers MPO, which phones write.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "QOI", "ICO", "PCX", "SGI")
FORMATS += ("DDS", "DIB", "PSD")
RESIZE_FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
_WORTH_A_THREAD_SECONDS = 5e-4  # per picture: 32x32 takes a fifth of it, 218x178 twice as much
_MODES = {1: "L", 3: "RGB"}


class PixelFormat(NamedTuple):
    """Size and color of the images of a source, and how pictures are brought to it.

    Attributes:
        image_size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        crop: Side in pixels of the square that is cut from the center before resizing, "center" for the largest such
            square, or "none" to stretch the whole picture to a square.
        resize: A key of `RESIZE_FILTERS`. All but "nearest" smooth a picture when they shrink it.
    """

    image_size: int
    channels: int
    crop: int | str
    resize: str

    @property
    def example_shape(self) -> tuple[int, int, int]:
        """Shape of an image."""
        return (self.image_size, self.image_size, self.channels)

    def check(self) -> "PixelFormat":
        """Returns itself, or raises `UserError` if a field is out of range."""
        crop_is_allowed = self.crop in ("center", "none") or (isinstance(self.crop, int) and self.crop >= 1)
        for name, got, allowed, is_allowed in [
            ("image_size", self.image_size, "a number of pixels, at least 1", self.image_size >= 1),
            ("channels", self.channels, "1 (gray) or 3 (color)", self.channels in _MODES),
            ("crop", self.crop, "center, none, or a number of pixels", crop_is_allowed),
            ("resize", self.resize, ", ".join(RESIZE_FILTERS), self.resize in RESIZE_FILTERS),
        ]:
            if not is_allowed:
                raise UserError(f"{name} {got!r} is not supported for images. Set it to: {allowed}.")
        return self


@functools.cache
def formats() -> tuple[str, ...]:
    """Returns those of `FORMATS` that this Pillow reads; AVIF is missing in some."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@functools.cache
def format_of_suffix() -> dict[str, str]:
    """Maps suffixes of files, in lower case, to the format that they promise."""
    return {suffix: name for suffix, name in Image.registered_extensions().items() if name in (*formats(), "MPO")}


def parse_crop(word: str | int) -> str | int:
    """Turns a number of pixels, such as "108" in a config, into an integer; leaves other words as they are."""
    return int(word) if str(word).isdecimal() else word


def read_pixels(data: bytes, pixel_format: PixelFormat) -> np.ndarray:
    """Decodes a picture of any size and color mode.

    The first frame of an animation is taken. The orientation in the EXIF data is applied, transparent pictures are laid
    over white, and 16-bit gray is scaled to 8 bits.

    Args:
        data: A file of one of `FORMATS`.
        pixel_format: Size and color of the image.

    Returns:
        uint8, shape `pixel_format.example_shape`.

    Raises:
        Exception: Any exception that Pillow raises for broken files: they have no common base class.
        UserError: The picture is smaller than the crop.
    """
    size = (pixel_format.image_size, pixel_format.image_size)
    with Image.open(io.BytesIO(data), formats=formats()) as image:
        image.load()
        if image.info:  # without any metadata the search for the orientation is a waste of time
            ImageOps.exif_transpose(image, in_place=True)
        image = _flatten(image, _MODES[pixel_format.channels])
        box = crop_box(image.size, pixel_format.crop)
        if box != (0, 0, *size):  # pictures that fit already, as in most data sets, are not copied
            image = image.resize(size, RESIZE_FILTERS[pixel_format.resize], box=box)
        return np.asarray(image).reshape(pixel_format.example_shape)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # convert() would cut off at 255
        values = np.asarray(image)
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 2**16 - 1:
            raise ValueError(f"gray values of 32 bits, from {values.min():g} to {values.max():g}, are not supported")
        image = Image.fromarray((values.astype(np.uint32) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def crop_box(size: tuple[int, int], crop: int | str) -> tuple[int, int, int, int]:
    """Returns the region of a picture that is kept.

    Args:
        size: Width and height of the picture.
        crop: See `PixelFormat`.

    Returns:
        Left, top, right, bottom.

    Raises:
        UserError: The picture is smaller than the crop.
    """
    width, height = size
    if crop == "none":
        return (0, 0, width, height)
    side = min(size) if crop == "center" else crop
    if side > min(size):
        raise UserError(f"Cannot cut {crop}x{crop} pixels out of a picture of {width}x{height}. Set a smaller crop.")
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side)


@functools.cache
def _thread_pool() -> ThreadPoolExecutor:
    # Pillow decodes without holding Python's lock.
    return ThreadPoolExecutor(_num_threads(), thread_name_prefix="decode")


def _num_threads() -> int:
    return min(len(available_cores()), 16)


def map_in_threads(work: Callable[[np.ndarray], T], num_items: int, *, max_chunk: int = 256) -> Iterator[T]:
    """Works on items in chunks, in a pool of threads if that is faster.

    Two items are timed first. Tiny local pictures spend nearly all their time in Python, where threads would only wait
    for each other's lock; large pictures and slow file systems gain from as many threads as there are cores.

    Args:
        work: Positions of some items, int64 `[n]` -> any result. Must not call this function.
        num_items: Number of items; their positions are 0 to `num_items - 1`.
        max_chunk: Largest number of items per call.

    Returns:
        The results, in the order of the items. Stopping early cancels the chunks that have not started.
    """
    trial, rest = np.split(np.arange(num_items), [2])
    if not trial.size:
        return iter(())
    started = time.perf_counter()
    first = work(trial)
    in_threads = rest.size and (time.perf_counter() - started) / trial.size > _WORTH_A_THREAD_SECONDS
    num_chunks = max(-(-rest.size // max_chunk), min(_num_threads(), rest.size) if in_threads else 0)
    chunks = np.array_split(rest, num_chunks) if num_chunks else []
    return itertools.chain([first], _thread_pool().map(work, chunks) if in_threads else map(work, chunks))
