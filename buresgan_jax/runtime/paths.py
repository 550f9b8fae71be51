"""Paths as users write them, in flags, in configs and in calls."""

import os

from etils import epath

from buresgan_jax.errors import UserError, one_line


def check_file(path: epath.Path, name: str) -> None:
    """Checks that a file can be written under a path, before the work whose result it will hold.

    Args:
        path: The path.
        name: The flag that holds it, for messages.

    Raises:
        UserError: It is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise UserError(f"{name}={path} is a folder. Give a file.")
    if not path.parent.is_dir():
        raise UserError(f"The folder of {name}={path} does not exist. Create it, or give another file.")


def user_path(path: epath.PathLike, name: str) -> epath.Path:
    """Returns a path whose first `~` or `~USER` is replaced by the home folder.

    A shell leaves `--workdir=~/runs` as it is, so programs must expand it.

    Args:
        path: The path, local or `gs://BUCKET/...`, which is looked up once.
        name: The flag, key or argument that holds it, for messages.

    Raises:
        UserError: The path is empty or not UTF-8, there is no such home folder, or the path is remote and cannot be
            reached.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise UserError(f"{name} is {text!r}, which is no path. Give a file or folder.")
    if any("\udc80" <= letter <= "\udcff" for letter in text):  # how Python writes such bytes
        raise UserError(f"{name} is {text!r}, which is not UTF-8. Orbax and TensorBoard cannot use it: rename it.")
    if "://" in text:
        return _reached(text, name)
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise UserError(f"{name} is {text!r}: there is no such home folder. If that is its name, write ./{text}.")
    return epath.Path(expanded)


def _reached(text, name):
    if not text.startswith("gs://"):  # orbax writes checkpoints to no other store
        raise UserError(
            f"{name} is {text!r}. Give a local path, or gs://BUCKET/FOLDER: other addresses cannot be used."
        )
    path = epath.Path(text)
    try:
        path.exists()
    except ImportError as error:
        raise UserError(f'{name} is {text!r}, which needs gcsfs: pip install -e ".[gcs]".') from error
    except Exception as error:  # no network, no credentials, no such bucket: each library has errors of its own
        problem = one_line(error)
        raise UserError(
            f"{name} {text!r} cannot be reached ({problem}). Check the address, network and login."
        ) from error
    return path
