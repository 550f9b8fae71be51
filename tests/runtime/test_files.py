"""Files that are replaced as a whole, and NumPy's files that are damaged or something else."""

import io
import os
import zipfile

import numpy as np
import pytest

from buresgan_jax.runtime import files

ARRAY = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)


def npz(save=np.savez, **arrays):
    content = io.BytesIO()
    save(content, **(arrays or {"samples": ARRAY}))
    return content.getvalue()


def changed(content, start, *values):
    """The bytes with others at a position, which may be the place of a signature and an offset."""
    position = start if isinstance(start, int) else content.index(start[0]) + start[1]
    return content[:position] + bytes(values) + content[position + len(values) :]


def of_method(number):
    """An entry that says that it was compressed in another way."""
    return changed(changed(npz(), (b"PK\3\4", 8), number), (b"PK\1\2", 10), number)


DAMAGED = {
    "empty": b"",
    "text": b"no file of NumPy's",
    "cut": npz()[:500],
    "flipped": changed(npz(), 700, 3, 3, 3),
    "flipped, compressed": changed(npz(np.savez_compressed), 300, 3, 3, 3),
    "another shape": changed(npz(), (b"(40, 6", 1), ord("2")),
    "endless shape": changed(npz(), (b"(40, 6, 6, 3), ", 0), *b"(9999999999,),,"),
    "no header": changed(npz(), (b"'shape'", 0), 0),
    "encrypted": changed(changed(npz(), (b"PK\3\4", 6), 1), (b"PK\1\2", 8), 1),
    "unknown compression": of_method(99),
    "wrong compression": of_method(8),
    "bzip2": of_method(12),
    "LZMA": of_method(14),
    "objects": npz(samples=np.array([1, "x"], object)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_a_value_error_of_one_line(tmp_path, name):
    (tmp_path / "x.npz").write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match=r"^.+$"):
        files.read_arrays(tmp_path / "x.npz")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="no file but a pipe"):
        files.read_arrays(tmp_path / "x.npz")


def test_flipped_bytes_never_give_other_numbers(tmp_path):
    good, random, file = npz(np.savez_compressed), np.random.default_rng(0), tmp_path / "x.npz"
    for position in random.integers(0, len(good), 200):
        file.write_bytes(changed(good, int(position), good[position] ^ 1 << int(random.integers(8))))
        try:
            found = files.read_arrays(file)
        except ValueError:
            continue
        for array in found.values():  # only names, and dates that no one reads, have no checksum
            np.testing.assert_array_equal(array, ARRAY)


@pytest.mark.parametrize("name", ["x.npz", "x.npy"])
def test_the_content_says_what_a_file_is(tmp_path, name):
    with open(tmp_path / name, "wb") as file:
        np.save(file, ARRAY)
    (array,) = files.read_arrays(tmp_path / name, lambda names: names).values()
    np.testing.assert_array_equal(array, ARRAY)
    (tmp_path / name).write_bytes(npz(a=ARRAY, b=ARRAY[0]))
    assert list(files.read_arrays(tmp_path / name)) == ["a", "b"]
    found = files.read_arrays(tmp_path / name, lambda names: names[1:])
    np.testing.assert_array_equal(found.pop("b"), ARRAY[0])
    assert not found


def test_pieces_are_what_numpy_reads(tmp_path):
    with files.npz_in_pieces(tmp_path / "x.npz", "samples", ARRAY.shape, ARRAY.dtype) as write:
        for start in range(0, 40, 16):
            write(ARRAY[start : start + 16])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["samples"], ARRAY)
    assert zipfile.ZipFile(tmp_path / "x.npz").testzip() is None


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path, error):
    file = tmp_path / "x.npz"
    file.write_bytes(b"old")

    def write_some():
        with files.npz_in_pieces(file, "samples", ARRAY.shape, ARRAY.dtype) as write:
            write(ARRAY[:3])
            raise error

    with pytest.raises(error):
        write_some()
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    assert file.read_bytes() == b"old"


def test_two_processes_may_replace_one_file_at_the_same_time(tmp_path, monkeypatch):
    with files.replacing(tmp_path / "x") as first:
        first.write(b"first")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with files.replacing(tmp_path / "x") as second:
            second.write(b"second")
        assert (tmp_path / "x").read_bytes() == b"second"
    assert (tmp_path / "x").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
