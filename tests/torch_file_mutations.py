"""Damaged and crafted weights files, made of the two golden ones, and a program that reads them.

    python tests/torch_file_mutations.py FIRST LAST

A crash ends the program, so tests run it as another process. It prints how many files were loaded and refused; the
last line on standard error names the file that it could not stand.
"""

import collections
import io
import pathlib
import pickle
import pickletools
import random
import resource
import struct
import sys
import tempfile
import zipfile

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "golden"
_SMALL, _LARGE = (0, 1, 2, 3, 5, 7, 12, 13), (2**31 - 1, 2**31, 2**32, 2**40, 2**61, 2**62, 2**63 - 1, 2**63, 10**30)
NUMBERS = (*_SMALL, *_LARGE, -1, -2, -(2**31), -(2**63), True, None, 0.5, float("nan"))
_MAX_MEMORY = 8 * 2**30  # of the address space; jax takes two


def mutant(number: int) -> bytes:
    """Returns the file of a number; odd ones are of the old format."""
    draw = random.Random(number)
    if number % 2:
        content = (FOLDER / "state_dict_old.pth").read_bytes()
        kinds = (_flip_bits, _truncate, _replace_numbers, _edit_opcodes, _edit_sizes)
    else:
        content = (FOLDER / "state_dict_new.pth").read_bytes()
        kinds = (_flip_bits, _truncate, _edit_pickle, _edit_entries, _edit_headers)
    return kinds[number // 2 % len(kinds)](content, draw)


def _flip_bits(content, draw):
    flipped = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(flipped)


def _truncate(content, draw):
    return content[: draw.randrange(len(content))]


def _opcodes(content):
    """Returns the opcodes of all pickles in a row, each with its bytes, and what follows the last."""
    file, found = io.BytesIO(content), []
    try:
        while True:
            start = file.tell()
            names, positions = zip(*((opcode.name, at) for opcode, _, at in pickletools.genops(file)), strict=True)
            ends = (*positions[1:], file.tell())
            found += [(name, content[at:end]) for name, at, end in zip(names, positions, ends, strict=True)]
    except ValueError:  # no further pickle
        return found, content[start:]


def _replace_numbers(content, draw):
    opcodes, rest = _opcodes(content)
    positions = [i for i, (name, _) in enumerate(opcodes) if name.startswith(("BININT", "LONG"))]
    for i in draw.sample(positions, draw.choice((1, 1, 2, 3))):
        opcodes[i] = ("number", pickle.dumps(draw.choice(NUMBERS), 2)[2:-1])
    return b"".join(code for _, code in opcodes) + rest


def _edit_opcodes(content, draw):
    opcodes, rest = _opcodes(content)
    i, j = draw.randrange(len(opcodes)), draw.randrange(len(opcodes))
    kind = draw.choice(("copy", "drop", "swap", "repeat"))
    if kind == "copy":
        opcodes[i] = opcodes[j]
    elif kind == "drop":
        del opcodes[i]
    elif kind == "swap":
        opcodes[i], opcodes[j] = opcodes[j], opcodes[i]
    else:
        opcodes[i:i] = opcodes[i:j] or opcodes[j:i]
    return b"".join(code for _, code in opcodes) + rest


def _edit_sizes(content, draw):
    rest = _opcodes(content)[1]
    start = len(content) - len(rest) + 4 * draw.randrange(len(rest) // 4 - 1)
    return content[:start] + struct.pack("<Q", draw.choice(NUMBERS[:16])) + content[start + 8 :]


def _archive(entries, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def _entries(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _edit_pickle(content, draw):
    entries = _entries(content)
    name = next(name for name in entries if name.endswith("data.pkl"))
    entries[name] = draw.choice((_replace_numbers, _replace_numbers, _edit_opcodes, _flip_bits))(entries[name], draw)
    return _archive(entries.items())


def _edit_entries(content, draw):
    entries = _entries(content)
    name, other = draw.sample(list(entries), 2)
    kind = draw.choice(("drop", "rename", "exchange", "shorten", "lengthen", "compress"))
    if kind == "drop":
        del entries[name]
    elif kind == "rename":
        entries[name + "_"] = entries.pop(name)
    elif kind == "exchange":
        entries[name], entries[other] = entries[other], entries[name]
    elif kind == "shorten":
        entries[name] = entries[name][: draw.randrange(len(entries[name]))]
    elif kind == "lengthen":
        entries[name] += bytes(draw.randrange(1, 100))
    return _archive(entries.items(), zipfile.ZIP_DEFLATED if kind == "compress" else zipfile.ZIP_STORED)


def _edit_headers(content, draw):
    start = content.index(b"PK\x01\x02")
    at = draw.randrange(start, len(content) - 4)
    return content[:at] + struct.pack("<I", draw.choice((0, 1, 8, 99, 2**31, 2**32 - 1))) + content[at + 4 :]


# Files that ended the process, or filled the memory, of a reader that let pickle make arrays


def _call(function, *arguments):
    return b"c" + function.replace(" ", "\n").encode() + b"\n(" + b"".join(arguments) + b"tR"


def _code(value):
    return pickle.dumps(value, 2)[2:-1]


def _storage(key, num_entries):
    return b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + _code(key) + _code("cpu") + _code(num_entries) + b"tQ"


def _tensor(storage, first, shape, strides):
    numbers = (_code(value) for value in (first, shape, strides, False))
    return _call("torch._utils _rebuild_tensor_v2", storage, *numbers, b"}")


def _dictionary(*items):
    return b"\x80\x02}(" + b"".join(_code(f"{i}") + item for i, item in enumerate(items)) + b"u."


def _in_archive(tensor):
    return _archive([("x/data.pkl", _dictionary(tensor)), ("x/data/0", bytes(16))])


def _dtype(name, *state):
    return _call("numpy dtype", _code(name), _code(False), _code(True)) + _code(state) + b"b"


def _array(dtype, shape, content):
    made = _call("numpy.core.multiarray _reconstruct", b"cnumpy\nndarray\n", _code((0,)), _code("b"))
    return made + b"(" + _code(1) + _code(shape) + dtype + _code(False) + content + b"tb"


_BEYOND = ("V8", 3, "|", None, ("a",), {"a": 1}, 2**30, 1, 0)
_BYTES = b"B\x08\x00\x00\x00" + bytes(8)
_OLD = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
CRAFTED = {
    "tensor of a tensor": _in_archive(
        _tensor(_tensor(_storage("0", 4), 0, (2**30,), (0,)), 0, (2**28,), (4,)),
    ),
    "tensor beyond": _in_archive(_tensor(_storage("0", 4), 2**40, (4,), (1,))),
    "storage beyond": _in_archive(_tensor(_storage("0", 2**40), 0, (2**40,), (1,))),
    "strides beyond": _in_archive(_tensor(_storage("0", 4), 0, (2,), (2**61,))),
    "expanded tensor": _in_archive(_tensor(_storage("0", 4), 0, (2**40,), (0,))),
    "storage that is never read": _OLD
    + _dictionary(_tensor(_storage("0", 2**31), 0, (4,), (1,)))
    + pickle.dumps([], 2),
    "array without content": _dictionary(
        _call("numpy.core.multiarray _reconstruct", b"cnumpy\nndarray\n", _code((2**45,)), _code("f8"))
    ),
    "dtype beyond": _dictionary(_array(_dtype(*_BEYOND), (1,), _BYTES)),
    "objects": _dictionary(_array(_dtype("O8", 3, "|", None, None, None, -1, -1, 0), (1,), _BYTES)),
    "nested tuples": b"\x80\x02})" + b"\x85" * 400_000 + b"Ns.",
    "number of an object": b"\x80\x02}r\xff\xff\xff\x7f.",
    "dictionaries of dictionaries": b"\x80\x02}"
    + b"".join(b"q\x01}(X\x01\x00\x00\x00ah\x01X\x01\x00\x00\x00bh\x01u" for _ in range(60))
    + b".",
}


def check_bounds(arrays: dict[str, np.ndarray]) -> None:
    """Fails where an array reaches beyond the bytes that it is a view of."""
    for name, array in arrays.items():
        owner = array
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        low, high = np.lib.array_utils.byte_bounds(array)
        first, last = np.lib.array_utils.byte_bounds(np.frombuffer(owner, np.uint8) if array.size else array)
        assert first <= low <= high <= last, (name, array.shape, array.strides)
        array.tobytes()  # reads every entry


def main(first: int, last: int) -> None:
    """Reads the crafted files, and the damaged ones of these numbers, as `read_weights` does."""
    from buresgan_jax.errors import UserError
    from buresgan_jax.extractors.weights import read_weights

    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "weights.pth"
        for name in (*CRAFTED, *range(first, last)):
            file.write_bytes(CRAFTED[name] if name in CRAFTED else mutant(name))
            print(name, file=sys.stderr, flush=True)
            try:
                check_bounds(read_weights(file).arrays)
                counts["loaded"] += 1
            except UserError as error:
                counts["refused"] += 1
                counts["refused in several lines"] += "\n" in str(error)
                counts["crafted files refused"] += name in CRAFTED
    print(*(f"{count} {name}" for name, count in sorted(counts.items())), sep=", ")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
