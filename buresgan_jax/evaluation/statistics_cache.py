"""A cache of statistics of sets of images in a user's folder, so that an extractor reads real data once.

The key is the content: the pixels of all images, whatever their order, file names and times. Reading and hashing pixels
costs little beside a network's features, it works alike for folders, `.npz` files and TFDS, and it notices every
change, of a file or of the way in which images are cut and resized. The extractor, its weights and this package's
version are also part of the key. The files may be deleted at any time.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from absl import logging

from buresgan_jax.runtime import files, user_cache


def default_folder() -> pathlib.Path:
    """Returns `buresgan_jax/statistics` in `$XDG_CACHE_HOME` or `~/.cache`."""
    return user_cache.folder("statistics")


def file_of(folder: pathlib.Path, facts: Mapping[str, object]) -> pathlib.Path:
    """Returns the file of the arrays that these facts determine."""
    return folder / f"{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}.npz"


def load(file: pathlib.Path) -> dict[str, np.ndarray] | None:
    """Reads the arrays of a file; None if it is missing or damaged."""
    try:
        return files.read_arrays(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logging.warning("Cannot read cached statistics %s (%s): they are computed again.", file, error)
        return None


def save(file: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a file as a whole or not at all; a folder that cannot be written is a warning."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(file) as opened:
            np.savez(opened, **arrays)
    except OSError as error:
        logging.warning("Cannot keep statistics in %s: %s.", file.parent, error)
