"""Files of samples: one picture, an array, or a folder of pictures, written while the samples are drawn."""

import contextlib
import itertools
from collections.abc import Iterator

import numpy as np
from etils import epath

from buresgan_jax import data
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import pictures
from buresgan_jax.runtime import files
from buresgan_jax.training.sampling import draw_picture

_MOST_PIXELS = 2**26  # in one picture, which is held in memory


def check(out: epath.Path, num_samples: int, description: data.Description) -> None:
    """Finds what would be wrong with the files, before any sample is drawn.

    Args:
        out: `x.png` (one picture: a grid, or a scatter of points), `x.npz` (array `samples`, images as uint8), or a
            new or empty folder for one PNG per image.
        num_samples: How many samples.
        description: What is known of the data.

    Raises:
        UserError: They cannot be written there, or not so many of them.
    """
    if num_samples < 1:
        raise UserError(f"--num_samples must be at least 1, got {num_samples}.")
    if out.suffix not in ("", ".png", ".npz"):
        raise UserError(f"--out must be a .png file, an .npz file or a folder (no suffix), got {str(out)!r}.")
    if out.suffix and out.is_dir():
        raise UserError(f"--out={out} is a folder. Give a file, or a folder without a suffix.")
    is_images = description.kind == "images"
    if out.suffix == ".png" and is_images:
        cell = pictures.image_grid(np.zeros((1, *description.example_shape), np.uint8)).shape
        most = _MOST_PIXELS // (cell[0] * cell[1])
        if num_samples > most:
            raise UserError(
                f"One picture holds at most {most} images of this size, --num_samples is {num_samples}. Give "
                "--out=x.npz or a folder, or fewer samples."
            )
    elif not out.suffix and not is_images:
        raise UserError(f"Points cannot be written as one PNG each. Give --out=x.png or --out=x.npz, got {str(out)!r}.")
    elif not out.suffix and out.is_dir():
        held = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        if held:
            raise UserError(
                f"The folder --out={out} is not empty (it holds {', '.join(held[:2])}{', ...' * (len(held) > 2)}), and "
                "its pictures would be taken for samples. Give another folder, or empty it."
            )


def write(
    out: epath.Path, batches: Iterator[np.ndarray], num_samples: int, description: data.Description, *, title: str
) -> None:
    """Writes samples; an error leaves what was there before.

    Args:
        out: See `check`.
        batches: The samples in order, images in [-1, 1] or points.
        num_samples: How many there are in all batches.
        description: What is known of the data.
        title: The title of a scatter.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    pieces = map(pictures.to_uint8, batches) if description.kind == "images" else iter(batches)
    if out.suffix == ".png":
        draw_picture(out, np.concatenate(list(pieces)), description, title=title)
    elif out.suffix == ".npz":
        first = next(pieces)
        with files.npz_in_pieces(out, "samples", (num_samples, *first.shape[1:]), first.dtype) as append:
            for piece in itertools.chain([first], pieces):
                append(piece)
    else:
        _write_folder(out, itertools.chain.from_iterable(pieces), len(str(num_samples - 1)))


def _write_folder(folder, images, num_digits):
    """Writes the pictures elsewhere first, because a part of them would be taken for all, or refused as old ones."""
    is_new = not folder.exists()
    temporary = folder.with_name(f"{folder.name}.tmp") if is_new else folder / ".tmp"
    _remove(temporary)  # what a kill has left
    temporary.mkdir()
    try:
        for number, image in enumerate(images):
            pictures.save_png(temporary / f"{number:0{max(5, num_digits)}d}.png", image)
        if is_new:
            temporary.rename(folder)
        else:
            for path in sorted(temporary.iterdir()):
                path.rename(folder / path.name)
            temporary.rmdir()
    except BaseException:
        with contextlib.suppress(OSError):
            _remove(temporary)
        raise


def _remove(temporary):
    """Removes a folder of pictures."""
    if temporary.exists():
        for path in temporary.glob("[0-9]*.png*"):
            path.unlink()
        if held := sorted(path.name for path in temporary.iterdir()):
            raise UserError(f"{temporary} is needed for unfinished samples, but holds {held[0]}. Rename or remove it.")
        temporary.rmdir()
