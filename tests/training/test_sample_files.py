"""Samples go to their file while they are drawn, take no place of others, and an error leaves what was there."""

import errno
import weakref

import numpy as np
import pytest
from PIL import Image

from buresgan_jax import data
from buresgan_jax.data import image_set
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import pictures
from buresgan_jax.runtime.paths import user_path
from buresgan_jax.training import sample_files

IMAGES, POINTS = data.Description((8, 8, 3)), data.Description((2,))
SAMPLES = np.random.default_rng(0).uniform(-1, 1, (20, 8, 8, 3)).astype(np.float32)
OUTS = ("x.png", "x.npz", "folder")


def write(out, samples=SAMPLES, description=IMAGES, fails_at=None):
    """Writes batches of four; returns how many batches were alive at once."""
    drawn, most = [], 0

    class Batch(np.ndarray):  # unlike an array, it can be referred to weakly
        pass

    def batches():
        nonlocal most
        for start in range(0, len(samples), 4):
            if start == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            batch = samples[start : start + 4].copy().view(Batch)
            drawn.append(weakref.ref(batch))
            most = max(most, sum(each() is not None for each in drawn))
            yield batch
            del batch

    out = user_path(out, "out")
    sample_files.check(out, len(samples), description)
    sample_files.write(out, batches(), len(samples), description, title="x")
    return most


def test_samples_are_written_as_they_come(tmp_path):
    expected = pictures.to_uint8(SAMPLES)
    for name in ("x.npz", "folder"):
        assert write(tmp_path / "new" / name) <= 3  # of five
        source = image_set(str(tmp_path / "new" / name))
        np.testing.assert_array_equal(source.fetch(np.arange(20)), expected)
    write(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pictures.image_grid(expected))
    points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    assert write(tmp_path / "points.npz", points, POINTS) <= 3  # of ten
    np.testing.assert_array_equal(np.load(tmp_path / "points.npz")["samples"], points)


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("fails_at", [0, 8])
def test_a_full_disk_leaves_what_was_there(tmp_path, out, fails_at):
    if out != "folder":
        write(tmp_path / out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / out, -SAMPLES, fails_at=fails_at)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_folder_gets_its_pictures_when_all_are_drawn(tmp_path, monkeypatch, is_new):
    folder, save = tmp_path / "folder", pictures.save_png
    temporary = tmp_path / "folder.tmp" if is_new else folder / ".tmp"
    if not is_new:
        folder.mkdir()
    temporary.mkdir()
    for name in ("00019.png", "00020.png", "00021.png.7.tmp"):  # of more samples, when the process was killed
        (temporary / name).touch()

    def stopped(path, image):
        assert not list(folder.glob("*.png"))
        if path.name == "00007.png":
            raise KeyboardInterrupt
        save(path, image)

    monkeypatch.setattr(pictures, "save_png", stopped)
    with pytest.raises(KeyboardInterrupt):
        write(folder)
    assert list(tmp_path.rglob("*")) == ([] if is_new else [folder])
    monkeypatch.setattr(pictures, "save_png", save)
    write(folder)
    assert sorted(path.name for path in folder.iterdir()) == [f"{number:05}.png" for number in range(20)]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_somebody_else_is_no_temporary_one(tmp_path):
    (tmp_path / "folder.tmp").mkdir()
    (tmp_path / "folder.tmp" / "precious").touch()
    with pytest.raises(UserError, match="needed for unfinished samples, but holds precious"):
        write(tmp_path / "folder")
    assert (tmp_path / "folder.tmp" / "precious").exists()


def test_a_folder_with_files_is_refused(tmp_path):
    folder = tmp_path / "folder"
    write(folder, SAMPLES[:10])
    with pytest.raises(
        UserError, match=r"is not empty \(it holds 00000.png, 00001.png, ...\).*Give another folder, or"
    ):
        write(folder, SAMPLES[:4])
    assert len(list(folder.iterdir())) == 10
    for path in folder.iterdir():
        path.unlink()
    (folder / ".hidden").touch()
    write(folder, SAMPLES[:4])
    assert sorted(path.name for path in folder.glob("[!.]*")) == [f"0000{number}.png" for number in range(4)]


@pytest.mark.parametrize(
    ("out", "num", "description", "message"),
    [
        ("x.jpg", 4, IMAGES, "--out must be a .png file, an .npz file or a folder"),
        ("folder.npz", 4, IMAGES, "folder.npz is a folder. Give a file, or a folder without a suffix."),
        ("x.npz", 0, IMAGES, "--num_samples must be at least 1, got 0."),
        ("folder", 4, POINTS, "Points cannot be written as one PNG each."),
        ("x.png", 50_000, data.Description((64, 64, 3)), "One picture holds at most 14513 images of this size, --num_"),
    ],
)
def test_what_cannot_be_written_is_refused_before(tmp_path, out, num, description, message):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match=message):
        sample_files.check(user_path(tmp_path / out, "out"), num, description)
