"""The user's cache folder, for files that the package can make or download again. It can be deleted at any time."""

import os
import pathlib

from buresgan_jax.runtime.paths import user_path


def folder(name: str) -> pathlib.Path:
    """Returns `buresgan_jax/NAME` in `$XDG_CACHE_HOME` or `~/.cache`. The folder may not exist yet."""
    home = user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME")
    return pathlib.Path(home) / "buresgan_jax" / name
