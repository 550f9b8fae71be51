"""Files that are written as a whole or not at all, and checked reading of NumPy's files."""

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import numpy as np
from etils import epath

from buresgan_jax.errors import one_line

SINGLE = "arr_0"  # numpy.save's one array, under the name that numpy.savez gives to the first


def is_regular(path: epath.PathLike) -> bool:
    """Tells whether a path is a file that can be read to its end: no folder, and no pipe, for which reading waits."""
    return epath.Path(path).is_file() if "://" in os.fspath(path) else os.path.isfile(path)


@contextlib.contextmanager
def replacing(path: epath.PathLike) -> Iterator[IO[bytes]]:
    """Opens a temporary file that takes the place of `path` at the end: a kill or an error leaves the old file.

    Its name has the process's number, because several processes may write one file at the same time.

    Args:
        path: The file, local or remote. Its folder exists.

    Yields:
        The temporary file. An error removes it.
    """
    path = epath.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # a link would be written through
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def replace_text(path: epath.PathLike, text: str) -> None:
    """Writes a text by `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())


def read_arrays(
    path: epath.PathLike, choose: Callable[[list[str]], Iterable[str]] = lambda names: names
) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file, or the one of an `.npy` file; the content decides, whatever the name.

    Args:
        path: The file, local or remote.
        choose: Chooses which arrays to read from the names of all. Default: all.

    Returns:
        Arrays by name; a single one is `SINGLE`.

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is damaged, encrypted, of an unknown compression, or holds something else than plain arrays.
    """
    if os.path.exists(path) and not os.path.isdir(path) and not is_regular(path):
        raise ValueError("it is no file but a pipe or a device")
    with epath.Path(path).open("rb") as file:
        try:
            is_single = file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
            file.seek(0)
            if is_single:
                return {name: _read_array(file) for name in choose([SINGLE])}
            with zipfile.ZipFile(file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                found = {}
                for name in choose(list(members)):
                    with archive.open(members[name]) as member:
                        found[name] = _read_array(member)
                return found
        except Exception as error:  # the readers of zipfile and NumPy raise almost anything on damaged files
            raise ValueError(one_line(error)) from error


def _read_array(file):
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):  # at its end, zipfile compares the checksum
        raise ValueError("more bytes follow the array than its header says")
    return array


@contextlib.contextmanager
def npz_in_pieces(
    path: epath.PathLike, name: str, shape: tuple[int, ...], dtype: np.dtype
) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes an `.npz` file of one array, compressed, piece by piece along the first axis.

    Args:
        path: The file, which is replaced at the end.
        name: Name of the array.
        shape: Its shape.
        dtype: Its dtype.

    Yields:
        A function that appends a piece.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            yield lambda piece: member.write(np.ascontiguousarray(piece, dtype).data)
