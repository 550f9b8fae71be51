"""Damaged and crafted weights files are loaded within their bounds, or refused in one line; they crash nothing."""

import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch_file_mutations as mutations

from buresgan_jax.errors import UserError
from buresgan_jax.extractors import torch_file
from buresgan_jax.extractors.weights import read_weights


@pytest.mark.parametrize(("first", "last"), [(0, 100), pytest.param(100, 2000, marks=pytest.mark.slow)])
def test_no_file_ends_the_process(first, last):
    command = [sys.executable, "-W", "error", mutations.__file__, str(first), str(last)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = {name: int(count) for count, name in (each.split(" ", 1) for each in done.stdout.strip().split(", "))}
    assert counts["refused in several lines"] == 0
    assert counts["crafted files refused"] == len(mutations.CRAFTED)
    assert counts["loaded"] + counts["refused"] == len(mutations.CRAFTED) + last - first
    assert counts["loaded"] > (last - first) / 10  # flipped bits of numbers, and of what nobody reads
    assert counts["refused"] > (last - first) / 2


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickled_arrays_are_read(dtype, order):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype, order)
    found = torch_file.read_arrays(pickle.dumps({"a": {"b": array, "empty": array[:0]}}, 4))
    np.testing.assert_array_equal(found["a/b"], array)
    assert found["a/b"].dtype == array.dtype
    assert found["a/empty"].shape == (0, 3, 4)


@pytest.mark.parametrize("name", ["old", "new"])
def test_files_of_big_endian_machines_are_refused(name, tmp_path):
    file = mutations.FOLDER / f"state_dict_{name}.pth"
    content = file.read_bytes().replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    if name == "new":
        with zipfile.ZipFile(file) as archive:
            entries = {each: archive.read(each) for each in archive.namelist()}
        entries["state_dict_new/byteorder"] = b"big"
        with zipfile.ZipFile(tmp_path / "big.pth", "w") as archive:
            for each, part in entries.items():
                archive.writestr(each, part)
        content = (tmp_path / "big.pth").read_bytes()
    (tmp_path / "big.pth").write_bytes(content)
    with pytest.raises(UserError, match="a big-endian machine wrote it"):
        read_weights(tmp_path / "big.pth")
