"""Paths with `~`: expanded wherever a user can write one."""

import helpers
import numpy as np
import pytest
from etils import epath

from buresgan_jax import data, prepare, suite
from buresgan_jax.cli import flag_errors
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import classifier, classifier_training, compare_sets
from buresgan_jax.extractors.weights import read_weights
from buresgan_jax.launch import scheduler
from buresgan_jax.runtime import user_cache
from buresgan_jax.runtime.paths import user_path
from buresgan_jax.training import saved_run


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home folder; the current one is empty too."""
    folder, here = tmp_path / "home", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(here)
    return folder


def test_the_home_folder_is_put_in_and_other_paths_stay(home):
    assert str(user_path("~/runs", "workdir")) == f"{home}/runs"
    assert str(user_path("~", "workdir")) == str(home)
    for path in ("runs/~", "./~", "/a/~b"):
        assert str(user_path(path, "workdir")) == path.removeprefix("./")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("Please install gcsfs"), r"workdir is 'gs://bucket/run', which needs gcsfs: pip install -e "),
        (RuntimeError("no\nlogin"), r"workdir 'gs://bucket/run' cannot be reached \(no login\). Check the address"),
    ],
)
def test_a_remote_path_that_cannot_be_reached_is_refused_at_once(monkeypatch, error, message):
    def exists(path):
        raise error

    monkeypatch.setattr(type(epath.Path("gs://bucket")), "exists", exists)
    with pytest.raises(UserError, match=message):
        user_path("gs://bucket/run", "workdir")


def test_a_remote_path_that_can_be_reached_is_taken_and_other_stores_are_refused(monkeypatch):
    monkeypatch.setattr(type(epath.Path("gs://bucket")), "exists", lambda path: False)
    assert str(user_path("gs://bucket/~", "workdir")) == "gs://bucket/~"
    for path in ("s3://bucket/run", "http://host/run", "/a/b://c"):
        with pytest.raises(UserError, match=f"--out is '{path}'. Give a local path, or gs://BUCKET/FOLDER"):
            user_path(path, "--out")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "--out is '', which is no path. Give a file or folder."),
        ("a\udcff", r"--out is 'a\udcff', which is not UTF-8."),
        ("a\0b", r"--out is 'a\x00b', which is no path."),
        (
            "~nobody_of_this_name/x",
            "no such home folder. If that is its name, write ./~nobody_of_this_name/x.",
        ),
    ],
)
def test_a_path_that_is_none_is_told(path, message):
    with pytest.raises(UserError) as error:
        user_path(path, "--out")
    assert message in str(error.value)


READERS = {
    "folder": lambda path: data.folder_source(path, image_size=8),
    "set": lambda path: data.image_set(path),
    "npz": lambda path: data.image_set(f"{path}.npz"),
    "tfds": lambda path: data.tfds_source("mnist", data_dir=path),
    "prepare": lambda path: prepare.prepare("mnist", manual_dir=path, data_dir=path),
    "weights": read_weights,
    "classifier": lambda path: classifier.load_classifier(path, "mnist"),
    "workdir": saved_run.SavedRun,
    "results": lambda path: suite.read_results([path], [], ""),
}


@pytest.mark.parametrize("name", READERS)
def test_readers_look_in_the_home_folder(home, name):
    with pytest.raises(UserError) as error:
        READERS[name]("~/none")
    assert str(home / "none") in str(error.value)


def test_writers_and_flags_take_the_home_folder(home, capfd, monkeypatch):
    assert scheduler.local_folder("~/many") == home / "many"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert user_cache.folder("weights") == home / "cache" / "buresgan_jax" / "weights"
    with pytest.raises(UserError, match=f"Config file '{home}/none.py' does not exist"):
        flag_errors.parse(["main", "--config=~/none.py"])
    (home / "file.npz").write_bytes(b"")
    with pytest.raises(UserError, match="is damaged"):
        classifier_training.classifier_when_needed("mnist", "~/file.npz", lambda: None)
    np.savez(home / "set.npz", samples=helpers.make_images(0, num=12))
    sets = ["--real=~/set.npz", "--fake=~/set.npz", "--metrics=frechet_distance"]
    assert compare_sets.main([*sets, "--out=~/numbers.json"]) == 0
    assert "frechet_distance" in (home / "numbers.json").read_text()
