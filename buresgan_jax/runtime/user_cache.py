"""The user's cache folder, for files that the package can make or download again. It can be deleted at any time."""

import os
import pathlib


def folder(name: str) -> pathlib.Path:
    """Returns `buresgan_jax/NAME` in `$XDG_CACHE_HOME` or `~/.cache`. The folder may not exist yet."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return home / "buresgan_jax" / name
