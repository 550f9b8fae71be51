"""Reads weights files without the packages that wrote them: PyTorch's two formats, and pickled NumPy arrays.

Files may come from anywhere. Unpickling, which can run any code in general, can only build dictionaries here, and
notes on arrays. The arrays are made afterwards: views of the file's bytes, of which NumPy checks every bound.
"""

import collections
import functools
import io
import math
import operator
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of PyTorch's old format
_DTYPES = {"Float": "<f4", "Double": "<f8", "Half": "<f2", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Byte": "u1"}
_NUMPY_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
_MAX_TUPLES = 20_000  # PyTorch writes about five per tensor. Hashing 80,000 within each other overflows Python's stack.


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Reads a state dict of PyTorch, or a pickled dictionary of arrays.

    Args:
        content: Bytes of the file: PyTorch's zip archive (since 1.6), its older sequence of pickles, or one pickle.

    Returns:
        Arrays by name, read-only. Names in nested dictionaries are joined by "/".

    Raises:
        Exception: Pickle cannot read the file; it raises many kinds of errors.
        pickle.UnpicklingError: The file holds anything other than dictionaries of arrays.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return _read_pickles(io.BytesIO(content))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _read_archive(archive)


def _read_archive(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("data.pkl")]
    if len(pickles) != 1:
        raise pickle.UnpicklingError("a zip archive, but not one of PyTorch")
    folder = pickles[0].removesuffix("data.pkl")

    @functools.cache
    def read(name):
        if archive.getinfo(folder + name).compress_type != zipfile.ZIP_STORED:  # a few bytes could become gigabytes
            raise pickle.UnpicklingError(f"{name} is compressed, which PyTorch never does")
        return archive.read(folder + name)

    if f"{folder}byteorder" in names:
        _check_byte_order(read("byteorder") == b"little")
    return _arrays(_unpickle(io.BytesIO(read("data.pkl"))), lambda storage: read(f"data/{storage.key}"))


def _read_pickles(file: io.BytesIO) -> dict[str, np.ndarray]:
    first = _unpickle(file)
    if first != _MAGIC_NUMBER:
        return _arrays(first, {}.__getitem__)
    _unpickle(file)  # version of the format
    _check_byte_order(_unpickle(file)["little_endian"])
    storages: dict[str, _Storage] = {}
    tree, contents = _unpickle(file, storages), {}
    for key in _unpickle(file):
        num_entries = int.from_bytes(file.read(8), "little")
        contents[key] = file.read(num_entries * np.dtype(storages[key].dtype).itemsize)
    return _arrays(tree, lambda storage: contents.get(storage.key, b""))


def _check_byte_order(is_little: object) -> None:
    if is_little is not True:
        raise pickle.UnpicklingError("a big-endian machine wrote it")


class _Storage(NamedTuple):
    """A block of memory that PyTorch saved."""

    dtype: str
    key: str
    num_entries: int


class _Tensor(NamedTuple):
    """A view of a storage; the first entry and the strides are in entries."""

    storage: _Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, read: Callable[[_Storage], bytes]) -> np.ndarray:
        dtype, content = np.dtype(self.storage.dtype), read(self.storage)
        if len(content) != self.storage.num_entries * dtype.itemsize:
            raise pickle.UnpicklingError(
                f"storage {self.storage.key} has {len(content)} bytes, not {self.storage.num_entries} {dtype} numbers"
            )
        if math.prod(self.shape) > self.storage.num_entries:
            raise pickle.UnpicklingError("a tensor is larger than its storage")
        strides = [stride * dtype.itemsize for stride in self.strides]
        return np.ndarray(self.shape, dtype, content, self.first * dtype.itemsize, strides)


class _DType:
    """A pickled `numpy.dtype`; pickle sets the byte order afterwards."""

    def __init__(self, name: str, *_: Any):
        self.name, self.order = name, "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype:
        if self.name not in _NUMPY_DTYPES or self.order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("an array is not of numbers")
        return np.dtype(self.order + self.name)


class _Array:
    """A pickled `numpy.ndarray`; pickle sets what it holds afterwards."""

    def __init__(self, *_: Any):
        self.state = (None,) * 5

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def array(self, _: Any) -> np.ndarray:
        _, shape, dtype, is_fortran, content = self.state
        if not isinstance(dtype, _DType) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array is not of numbers")
        dtype, shape = dtype.dtype(), tuple(map(operator.index, shape))
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise pickle.UnpicklingError(f"an array of shape {shape} and dtype {dtype} has {len(content)} bytes")
        return np.ndarray(shape, dtype, content, order="F" if is_fortran else "C")


def _arrays(tree: Any, read: Callable[[_Storage], bytes]) -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        raise pickle.UnpicklingError(f"of type {type(tree).__name__}, not a dictionary of arrays")
    return dict(_flatten(tree, read, set()))


def _flatten(tree, read, seen, prefix="") -> Iterator[tuple[str, np.ndarray]]:
    if id(tree) in seen:  # ten dictionaries that each hold the next one ten times would be 10^10 arrays
        raise pickle.UnpicklingError(f"{prefix} is in the file twice")
    seen.add(id(tree))
    for name, leaf in tree.items():
        if isinstance(leaf, dict):
            yield from _flatten(leaf, read, seen, f"{prefix}{name}/")
        elif isinstance(leaf, _Tensor | _Array):
            yield f"{prefix}{name}", leaf.array(read)
        else:
            raise pickle.UnpicklingError(f"{prefix}{name} is of type {type(leaf).__name__}, not an array")


def _unpickle(file: io.BytesIO, storages: dict[str, _Storage] | None = None) -> Any:
    """Reads one pickle of a file; notes its storages by key."""
    start, num_tuples = file.tell(), 0
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        num_tuples += "TUPLE" in opcode.name
        # The unpickler makes room for all numbers up to that of an object.
        if num_tuples > _MAX_TUPLES or ("PUT" in opcode.name and argument > number):
            raise pickle.UnpicklingError("its objects are too many")
    file.seek(start)
    return _Unpickler(file, {} if storages is None else storages).load()


class _Unpickler(pickle.Unpickler):
    """Unpickler for dictionaries, arrays and PyTorch's tensors."""

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]):
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        known = {
            "collections.OrderedDict": collections.OrderedDict,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "numpy.core.multiarray._reconstruct": _Array,
            "numpy._core.multiarray._reconstruct": _Array,
            "numpy.ndarray": _Array,
            "numpy.dtype": _DType,
        }
        if module == "torch" and name.endswith("Storage") and name.removesuffix("Storage") in _DTYPES:
            return _DTYPES[name.removesuffix("Storage")]
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"it holds a {module}.{name}; only dictionaries of arrays are read")
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: tuple) -> _Storage:
        _, dtype, key, _, num_entries, *view = pid
        if dtype not in _DTYPES.values() or type(key) is not str or type(num_entries) is not int or any(view):
            raise pickle.UnpicklingError("a storage is not described as PyTorch does")
        storage = _Storage(dtype, key, num_entries)
        if self._storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"storage {key} is described twice, differently")
        return storage

    def _tensor(self, storage: _Storage, first: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
        numbers = (first, *shape, *strides)
        if not isinstance(storage, _Storage) or not all(type(number) is int and number >= 0 for number in numbers):
            raise pickle.UnpicklingError("a tensor is not described as PyTorch does")
        return _Tensor(storage, first, tuple(shape), tuple(strides))

    def _parameter(self, tensor: _Tensor, *_: Any) -> _Tensor:
        return tensor
