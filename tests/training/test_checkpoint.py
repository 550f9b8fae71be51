"""Checkpoints: exact round trips, and no damaged file that restores wrong numbers."""

import contextlib
import errno
import os
import pathlib
import resource
import shutil
import sys
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np
import pytest

from buresgan_jax.errors import UserError
from buresgan_jax.runtime import process
from buresgan_jax.training.checkpoint import Checkpointer

# What a read of a damaged file leaves behind in orbax's and tensorstore's threads is theirs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


class State(NamedTuple):
    step: np.ndarray
    params: list[np.ndarray]
    empty: Any = ()


def make_items(step):
    rng = np.random.default_rng(step)
    params = [rng.normal(size=(32, 16)).astype(np.float32), rng.normal(size=5).astype(ml_dtypes.bfloat16)]
    return {"state": State(np.asarray(step, np.int32), params), "tracker": {"count": np.asarray(step)}}


def assert_items_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, np.ndarray)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def files_in(folder):
    return sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())


def contents(folder):
    return {path: path.read_bytes() for path in files_in(folder)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A workdir with good checkpoints at steps 1 and 2."""
    workdir = tmp_path_factory.mktemp("saved")
    with contextlib.closing(Checkpointer(workdir, keep=2)) as checkpointer:
        for step in (1, 2):
            checkpointer.save(step, make_items(step))
    return workdir


@pytest.fixture
def workdir(saved, tmp_path):
    """A copy of it to damage."""
    return pathlib.Path(shutil.copytree(saved, tmp_path / "copy"))


def restore(workdir, like=None, **options):
    with contextlib.closing(Checkpointer(workdir, **options)) as checkpointer:
        return checkpointer.restore(make_items(0) if like is None else like)


def flip(file, position):
    data = bytearray(file.read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    file.write_bytes(data)


DAMAGES = {
    "first_bit": lambda file: flip(file, 0.0),
    "middle_bit": lambda file: flip(file, 0.5),
    "late_bit": lambda file: flip(file, 0.9),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "gone": lambda file: file.unlink(),
}


def test_newest_step_is_restored_exactly(workdir):
    step, items = restore(workdir)
    assert step == 2
    assert_items_equal(items, make_items(2))


def test_some_of_the_items_can_be_restored_alone(workdir):
    _, items = restore(workdir, {"state": make_items(0)["state"]}, read_only=True)
    assert_items_equal(items, {"state": make_items(2)["state"]})


def test_no_checkpoint_restores_nothing(tmp_path):
    assert restore(tmp_path / "new") is None
    assert (tmp_path / "new" / "checkpoints").is_dir()


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damaged_file_restores_wrong_numbers(saved, tmp_path, damage):
    """Whatever file is damaged: the right numbers of this step, or those of the one before."""
    names = [file.relative_to(saved) for file in files_in(saved / "checkpoints" / "2")]
    fell_back = 0
    for number, name in enumerate(names):
        workdir = pathlib.Path(shutil.copytree(saved, tmp_path / str(number)))
        DAMAGES[damage](workdir / name)
        before = contents(workdir)
        with contextlib.closing(Checkpointer(workdir, read_only=bool(number % 2))) as checkpointer:
            step, items = checkpointer.restore(make_items(0))
        assert_items_equal(items, make_items(step))
        fell_back += step == 1
        if number % 2:
            assert contents(workdir) == before, name
        else:
            assert (workdir / "bad_checkpoints" / "2").exists() == (step == 1), name
    assert len(names) >= 10
    assert 0 < fell_back < len(names)


def test_bad_step_is_set_aside_with_its_reason_and_its_number_saved_again(workdir, caplog):
    for attempt in range(2):
        flip(workdir / "checkpoints" / "2" / "manifest" / "metadata", 0.5)
        with contextlib.closing(Checkpointer(workdir, keep=2)) as checkpointer:
            assert checkpointer.restore(make_items(0))[0] == 1
            assert checkpointer.latest_step() == 1
            checkpointer.save(2, make_items(2))
        assert sorted(path.name for path in (workdir / "bad_checkpoints").iterdir()) == ["2", "2_1"][: attempt + 1]
    assert restore(workdir)[0] == 2
    assert "Checkpoint 2 is damaged (" in caplog.text
    assert "Using checkpoint 1." in caplog.text


def test_only_damaged_checkpoints_are_an_error_that_changes_nothing(workdir):
    for step in ("1", "2"):
        (workdir / "checkpoints" / step / "manifest" / "metadata").write_text("{")
    before = contents(workdir)
    for options in ({}, {"read_only": True}):
        with pytest.raises(UserError, match=r"None of the checkpoints in .* can be restored \(step 2: .*; step 1: "):
            restore(workdir, **options)
        assert contents(workdir) == before


def test_step_without_its_files_is_seen(workdir):
    shutil.rmtree(workdir / "checkpoints" / "2")
    (workdir / "checkpoints" / "2").mkdir()
    assert restore(workdir)[0] == 1
    assert (workdir / "bad_checkpoints" / "2").is_dir()


def test_a_step_under_the_number_of_another_one_is_damaged(workdir, caplog):
    shutil.copytree(workdir / "checkpoints" / "1", workdir / "checkpoints" / "7")
    assert restore(workdir, read_only=True)[0] == 2
    with contextlib.closing(Checkpointer(workdir, read_only=True)) as checkpointer:
        with pytest.raises(UserError, match=r"Checkpoint 7 in .* cannot be restored \(ValueError: it holds step 1\)"):
            checkpointer.restore_step(7, make_items(0))
    step, items = restore(workdir)
    assert step == 2
    assert_items_equal(items, make_items(2))
    assert (workdir / "bad_checkpoints" / "7").is_dir()
    assert "Checkpoint 7 is damaged (ValueError: it holds step 1)." in caplog.text


FOREIGN = ("0700", "²", "٣", "-1", "notes.txt")


def test_entries_that_are_no_steps_are_left_alone(workdir):
    folder = workdir / "checkpoints"
    for name in (*FOREIGN, "9" * 200):
        (folder / name).mkdir()
    (folder / "8").write_text("a file")
    assert restore(workdir, read_only=True)[0] == 2
    with contextlib.closing(Checkpointer(workdir, keep=2)) as checkpointer:
        assert checkpointer.steps() == [1, 2, 8, int("9" * 200)]
        assert checkpointer.restore(make_items(0))[0] == 2
        for step in (3, 4, 5):
            checkpointer.save(step, make_items(step))
    assert restore(workdir)[0] == 5
    assert {path.name for path in folder.iterdir()} == {"4", "5", *FOREIGN}
    assert sorted(path.name for path in (workdir / "bad_checkpoints").iterdir()) == ["8", "9" * 200]


def test_an_entry_that_orbax_takes_for_a_step_is_told(workdir):
    (workdir / "checkpoints" / "1٣").mkdir()  # Arabic: thirteen
    assert restore(workdir, read_only=True)[0] == 2
    with pytest.raises(UserError, match="has an entry that reads as step 13, but no run writes such a name. Move it"):
        restore(workdir)


@pytest.mark.parametrize("name", ["a[1]", "[a-z]", "x*y", "what?", "50% #1;&", "zwei Wörter", "line\nbreak"])
def test_workdirs_may_have_any_name(tmp_path, name):
    workdir = tmp_path / name / "run[0]"
    with contextlib.closing(Checkpointer(workdir)) as checkpointer:
        checkpointer.save(1, make_items(1))
    for options in ({}, {"read_only": True}):
        assert_items_equal(restore(workdir, **options)[1], make_items(1))


def test_a_file_in_place_of_the_checkpoints_is_told(tmp_path):
    (tmp_path / "checkpoints").touch()
    for options in ({}, {"read_only": True}):
        with pytest.raises(UserError, match=r"checkpoints is no folder. Move it away"):
            restore(tmp_path, **options)


def test_a_pipe_or_a_link_among_the_files_is_told(workdir, tmp_path):
    step = workdir / "checkpoints" / "1"
    step.rename(tmp_path / "elsewhere")
    step.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"checkpoints holds '1', which is a link or pipe. Move it away"):
        restore(workdir)
    assert restore(workdir, read_only=True)[0] == 2
    os.mkfifo(workdir / "checkpoints" / "2" / "pipe")
    for options in ({}, {"read_only": True}):
        with pytest.raises(UserError, match=r" holds '.*', which is a link or pipe. Move it away"):
            restore(workdir, **options)


def test_a_save_cut_off_by_a_kill_is_cleaned_up(workdir):
    left = workdir / "checkpoints" / "3.orbax-checkpoint-tmp-1"
    shutil.copytree(workdir / "checkpoints" / "2", left)
    assert restore(workdir, read_only=True)[0] == 2
    assert left.exists()
    with contextlib.closing(Checkpointer(workdir)) as checkpointer:
        assert checkpointer.restore(make_items(0))[0] == 2
        checkpointer.save(3, make_items(3))
    assert restore(workdir)[0] == 3
    assert not left.exists()


@pytest.mark.parametrize("read_only", [False, True])
def test_checkpoint_of_another_shape_or_structure_is_refused_and_kept(workdir, read_only):
    before = contents(workdir)
    other = make_items(0)
    other["state"].params[0] = np.zeros((32, 17), np.float32)
    with pytest.raises(UserError, match=r"params.*\[32, 16\].* there .*\[32, 17\].* here"):
        restore(workdir, other, read_only=read_only)
    del other["state"].params[0]
    with pytest.raises(UserError, match="does not fit this config"):
        restore(workdir, other, read_only=read_only)
    assert contents(workdir) == before


def test_reading_creates_no_folder(tmp_path):
    assert restore(tmp_path / "none", read_only=True) is None
    assert not (tmp_path / "none").exists()


def test_newest_steps_and_every_nth_are_kept(tmp_path):
    with contextlib.closing(Checkpointer(tmp_path, keep=2, keep_every_steps=3)) as checkpointer:
        for step in range(1, 9):
            checkpointer.save(step, make_items(step))
            checkpointer.save(step, make_items(0))  # is there already
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["3", "6", "7", "8"]
    assert_items_equal(restore(tmp_path)[1], make_items(8))


def test_saving_does_not_see_later_changes_of_the_arrays(tmp_path):
    items = make_items(1)
    with contextlib.closing(Checkpointer(tmp_path)) as checkpointer:
        checkpointer.save(1, items)
        for leaf in jax.tree.leaves(items):
            leaf[...] = 0
    assert_items_equal(restore(tmp_path)[1], make_items(1))


def test_a_full_disk_is_one_error_and_keeps_the_steps_before(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    process.quiet_libraries.__wrapped__()
    random, (soft, hard) = np.random.default_rng(0), resource.getrlimit(resource.RLIMIT_FSIZE)
    large = {"state": State(np.asarray(2), [random.normal(size=1000) for _ in range(20)])}
    with contextlib.closing(Checkpointer(tmp_path)) as checkpointer:
        checkpointer.save(1, make_items(1))

    def save():
        with contextlib.closing(Checkpointer(tmp_path)) as checkpointer:
            checkpointer.save(2, large)

    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))  # a file that grows beyond it fails as on a full disk
    try:
        with pytest.raises(OSError, match=r"File too large: .*checkpoints") as error:
            save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.EFBIG
    assert capfd.readouterr() == ("", "")
    step, items = restore(tmp_path)
    assert step == 1
    assert_items_equal(items, make_items(1))
    save()
    assert_items_equal(restore(tmp_path, large)[1], large)
