"""Config files: given by a path, or by the name of one that the package brings along."""

import os
import pathlib

from buresgan_jax.errors import UserError, did_you_mean
from buresgan_jax.runtime.paths import user_path

FOLDER = pathlib.Path(__file__).parents[1] / "configs"


def names() -> list[str]:
    """Returns the names of the package's config files, such as `ring` and `suites/synthetic`."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("**/*.py"))


def find(name: str) -> str:
    """Returns the path of a config file.

    Args:
        name: A path, or the name of one of the package's config files.

    Raises:
        UserError: There is no such file.
    """
    file = os.fspath(user_path(name, "--config")) if name.startswith("~") else name
    if os.path.isfile(file):
        return file
    known = names()
    if name in known:
        return str(FOLDER / f"{name}.py")
    path = pathlib.PurePath(file)
    if path.suffix == ".py" and path.stem in known:
        raise UserError(f"Config file {file!r} does not exist. --config={path.stem} is the package's own.")
    nearby = [str(other) for other in pathlib.Path(path.parent).glob("*.py")]
    hint = did_you_mean(name, [*nearby, *known], f"Give a path, or a name: {', '.join(known)}.")
    raise UserError(f"Config file {file!r} does not exist.{hint}")
