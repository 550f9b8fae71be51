"""The data of a resumed run: a moved folder is found again, other data are told."""

import pathlib
import shutil

import pytest
from helpers import make_config, make_images

from buresgan_jax import builders
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import pictures
from buresgan_jax.launch import processes
from buresgan_jax.training import data_record, workdir


@pytest.fixture
def folder(tmp_path):
    """Five pictures, one of them in a subfolder."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number, image in enumerate(make_images(0, num=5)):
        pictures.save_png(folder / ("more" if number > 3 else "") / f"{number}.png", image)
    return folder


def config_of(folder):
    config = make_config("gan", "image_folder", data__path=str(folder))
    config.smoke = False  # whose images are random
    return config


@pytest.fixture
def saved(tmp_path, folder):
    """A workdir of a run on the folder."""
    path = tmp_path / "run"
    (path / "checkpoints" / "6").mkdir(parents=True)
    workdir.save_config(config_of(folder), path)
    data_record.save_data(builders.data_fingerprint(config_of(folder)), path)
    return path


def check(folder, path):
    config = config_of(folder)
    data_record.check_data(config, path, builders.data_fingerprint(config), workdir.check_same_run(config, path))


def add_one(folder):
    shutil.copy(folder / "0.png", folder / "new.png")


CHANGES = {
    "more": add_one,
    "fewer": lambda folder: (folder / "1.png").unlink(),
    "renamed": lambda folder: (folder / "1.png").rename(folder / "one.png"),
    "larger": lambda folder: (folder / "1.png").write_bytes((folder / "1.png").read_bytes() + b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_are_told_and_training_goes_on(saved, folder, caplog, change):
    check(folder, saved)
    assert caplog.text == ""
    CHANGES[change](folder)
    check(folder, saved)
    assert f"The data have changed since the run in {saved} began: 5 pictures of " in caplog.text
    assert "Training goes on with those of now." in caplog.text


def test_a_moved_folder_is_found_again_and_another_one_is_refused(saved, folder, tmp_path):
    moved = pathlib.Path(shutil.move(folder, tmp_path / "moved"))
    workdir.open_workdir(config_of(moved), saved, write=True)
    check(moved, saved)
    cell = processes.Cell({"seed": 0}, saved, (), config_of(moved))
    workdir.save_final({"step": 12}, saved)
    assert processes.finished(cell).status == "done"
    add_one(moved)
    for compare in (lambda: check(moved, saved), lambda: processes.finished(cell)):
        with pytest.raises(UserError, match=rf"config.data.path={moved}: these data .* 5 pictures .* 6 pictures"):
            compare()


def test_without_a_record_a_moved_folder_is_refused(saved, folder, tmp_path, caplog):
    (saved / "data.json").write_text("{")
    check(folder, saved)
    assert caplog.text == ""
    moved = shutil.move(folder, tmp_path / "moved")
    with pytest.raises(UserError, match=r"began with data without a record; here are 5 pictures of .* bytes \(names"):
        check(moved, saved)


def test_drawn_and_random_data_have_no_record(tmp_path, folder):
    for config in (make_config(), make_config("gan", "image_folder", data__path=str(folder))):
        data_record.save_data(builders.data_fingerprint(config), tmp_path)
        assert builders.data_places(config) <= {"data.path"}
    assert not (tmp_path / "data.json").exists()
