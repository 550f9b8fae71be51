"""Reads weights files without the packages that wrote them: PyTorch's two formats, and pickled NumPy arrays.

Unpickling can run any code in general. Here it can only build dictionaries and arrays.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of PyTorch's old format
_DTYPES = {"Float": "<f4", "Double": "<f8", "Half": "<f2", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Byte": "u1"}


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Reads a state dict of PyTorch, or a pickled dictionary of arrays.

    Args:
        content: Bytes of the file: PyTorch's zip archive (since 1.6), its older sequence of pickles, or one pickle.

    Returns:
        Arrays by name. Names in nested dictionaries are joined by "/".

    Raises:
        Exception: Pickle cannot read the file; it raises many kinds of errors.
        pickle.UnpicklingError: The file holds anything other than dictionaries of arrays.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        arrays = _read_archive(content)
    else:
        arrays = _read_pickles(io.BytesIO(content))
    if not isinstance(arrays, dict):
        raise pickle.UnpicklingError(f"of type {type(arrays).__name__}, not a dictionary of arrays")
    return dict(_flatten(arrays))


def _flatten(arrays, prefix=""):
    for name, array in arrays.items():
        if isinstance(array, dict):
            yield from _flatten(array, f"{prefix}{name}/")
        elif isinstance(array, np.ndarray):
            yield f"{prefix}{name}", array
        else:
            raise pickle.UnpicklingError(f"{prefix}{name} is of type {type(array).__name__}, not an array")


def _read_archive(content: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise pickle.UnpicklingError("a zip archive, but not one of PyTorch")
        folder = pickles[0].removesuffix("data.pkl")

        def load(dtype, key, num_entries):
            return np.frombuffer(archive.read(f"{folder}data/{key}"), dtype, num_entries)

        return _Unpickler(io.BytesIO(archive.read(pickles[0])), load).load()


def _read_pickles(file: io.BytesIO) -> Any:
    storages: dict[str, np.ndarray] = {}

    def load(dtype, key, num_entries):
        return storages.setdefault(key, np.zeros(num_entries, dtype))

    first = _Unpickler(file, load).load()
    if first != _MAGIC_NUMBER:
        return first
    _Unpickler(file, load).load()  # version of the format
    _Unpickler(file, load).load()  # facts about the system that wrote it
    arrays = _Unpickler(file, load).load()
    for key in _Unpickler(file, load).load():
        storage = storages[key]
        (num_entries,) = np.frombuffer(file.read(8), "<i8")
        storage[:] = np.frombuffer(file.read(num_entries * storage.itemsize), storage.dtype)
    return arrays


class _Unpickler(pickle.Unpickler):
    """Unpickler for dictionaries, arrays, and PyTorch's tensors, which are views of storages."""

    def __init__(self, file: io.BytesIO, load_storage: Callable[[np.dtype, str, int], np.ndarray]):
        super().__init__(file)
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        known = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
            "numpy.core.multiarray._reconstruct": _array,
            "numpy._core.multiarray._reconstruct": _array,
            "numpy.ndarray": np.ndarray,
            "numpy.dtype": np.dtype,
        }
        if module == "torch" and name.endswith("Storage") and name.removesuffix("Storage") in _DTYPES:
            return np.dtype(_DTYPES[name.removesuffix("Storage")])
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"it holds a {module}.{name}; only dictionaries of arrays are read")
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        _, dtype, key, _, num_entries = pid[:5]
        return self._load_storage(dtype, key, num_entries)


def _array(kind: type, shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Creates an array. Pickle sets its entries afterwards."""
    return np.ndarray(shape, dtype)


def _tensor(storage: np.ndarray, first: int, shape: Sequence[int], strides: Sequence[int], *_: Any) -> np.ndarray:
    last = first + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if min((first, *shape, *strides)) < 0 or (last >= len(storage) and 0 not in shape):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    strides = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[first:], shape, strides)
