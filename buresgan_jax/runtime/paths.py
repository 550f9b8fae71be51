"""Paths as users write them, in flags, in configs and in calls."""

import os

from etils import epath

from buresgan_jax.errors import UserError


def user_path(path: epath.PathLike, name: str) -> epath.Path:
    """Returns a path whose first `~` or `~USER` is replaced by the home folder.

    A shell leaves `--workdir=~/runs` as it is, so programs must expand it.

    Args:
        path: The path, local or remote (`gs://...`).
        name: The flag, key or argument that holds it, for messages.

    Raises:
        UserError: The path is empty, or there is no such home folder.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise UserError(f"{name} is {text!r}, which is no path. Give a file or folder.")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise UserError(f"{name} is {text!r}: there is no such home folder. If that is its name, write ./{text}.")
    return epath.Path(expanded)
