"""Where the package keeps what it can make or download again: a folder that may be deleted."""

import os
import pathlib


def folder(name: str) -> pathlib.Path:
    """`buresgan_jax/NAME` in `$XDG_CACHE_HOME` or `~/.cache`; it need not exist yet."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return home / "buresgan_jax" / name
