"""Workdirs that are somebody else's, damaged, or made to do harm: one line each, and nothing is written."""

import json
import os
import pathlib

import pytest
from helpers import make_config

from buresgan_jax.errors import UserError
from buresgan_jax.launch import processes, scheduler
from buresgan_jax.runtime.files import replacing
from buresgan_jax.training import best_checkpoint, workdir
from buresgan_jax.training.saved_run import SavedRun


@pytest.fixture
def config():
    return make_config()


@pytest.fixture
def saved(config, tmp_path):
    """A workdir with a config and a folder in place of a checkpoint."""
    workdir.save_config(config, tmp_path)
    (tmp_path / "checkpoints" / "6").mkdir(parents=True)
    return tmp_path


def contents(folder):
    paths = sorted(pathlib.Path(folder).rglob("*"))
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", '{"model_type": "bert", "hidden_size": 768}'),
        ("final.json", '{"accuracy": 1}'),
        ("evaluation.json", "[]"),
        ("metrics.jsonl", '{"epoch": 1}'),
        ("checkpoints/epoch_1.pt", ""),
    ],
)
def test_a_folder_of_something_else_is_refused(config, tmp_path, name, text):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    before = contents(tmp_path)
    message = "is damaged or not of a run" if name == "config.json" else "but no config.json: it is not the workdir of"
    with pytest.raises(UserError, match=f"{file.relative_to(tmp_path).parts[0]}.*{message}"):
        workdir.open_workdir(config, tmp_path, write=True)
    assert contents(tmp_path) == before


def test_a_table_of_something_else_is_refused_by_many_runs(tmp_path):
    file = tmp_path / "results.csv"
    assert scheduler.local_folder(str(tmp_path)) == tmp_path
    file.write_text("seed,status,step\n0,done,3\n")
    assert scheduler.local_folder(str(tmp_path)) == tmp_path
    for content in (b"name,price\nstatus,3\n", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"results.csv is not the table of a sweep or suite. Move it away"):
            scheduler.local_folder(str(tmp_path))


@pytest.mark.parametrize(
    "name", ["config.json", "final.json", "metrics.jsonl", "log.txt", ".lock", "checkpoints", "samples"]
)
def test_nothing_is_written_through_a_link(config, saved, tmp_path_factory, name):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    target = elsewhere / name
    if (saved / name).exists():
        (saved / name).rename(target)
    elif name == "samples":
        target.mkdir()
    else:
        target.write_text("precious")
    (saved / name).symlink_to(target)
    before = contents(elsewhere)
    with pytest.raises(UserError, match=f"{name} is a link, and a run writes through no link. Remove it, or choose"):
        workdir.open_workdir(config, saved, write=True)
    with pytest.raises(UserError, match="is a link"):
        processes.finished(processes.Cell({"seed": 0}, saved, (), config))
    (saved / name).unlink()
    (saved / name).symlink_to(elsewhere / "none")
    with pytest.raises(UserError, match="is a link"):
        workdir.open_workdir(config, saved, write=True)
    assert contents(elsewhere) == before


def test_a_temporary_file_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f"x.json.{os.getpid()}.tmp").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "x.json") as file:
        file.write(b"new")
    assert contents(tmp_path) == {tmp_path / "precious": b"precious", tmp_path / "x.json": b"new"}


def test_a_linked_workdir_is_used(config, saved, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "run"
    link.symlink_to(saved)
    assert workdir.open_workdir(config, link, write=True) == link


@pytest.mark.parametrize("name", ["config.json", "final.json", "evaluation.json", "best.json", "metrics.jsonl"])
def test_a_pipe_in_place_of_a_file_does_not_hang(config, saved, name):
    if (saved / name).exists():
        (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(UserError, match=f"{name} is no file"):
        workdir.open_workdir(config, saved, write=True)
    readers = {
        "config.json": SavedRun,
        "evaluation.json": workdir.read_evaluations,
        "best.json": best_checkpoint.best_step,
    }
    if name in readers:
        with pytest.raises(UserError, match=rf"{name} is (damaged|missing or damaged)"):
            readers[name](saved)
    assert workdir.read_final(saved) == {}


DEEP = "[" * 200_000


@pytest.mark.parametrize("text", [DEEP, '{"method": ' + DEEP, "7", "null", b"\xff\x00", '{"method": "gan", "loss": 3}'])
def test_a_config_of_anything_is_told(config, saved, text):
    (saved / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (SavedRun, lambda folder: workdir.open_workdir(config, folder, write=True)):
        with pytest.raises(UserError, match=r"config.json is damaged or not of a run \(.*\). Restore it, or choose"):
            read(saved)


@pytest.mark.parametrize("value", [-1, 10**30, 1e400, "x", None, [1], {}, True])
def test_numbers_of_a_config_that_cannot_be_are_told(saved, value):
    text = json.loads((saved / "config.json").read_text())
    text["training"]["batch_size"] = value
    (saved / "config.json").write_text(json.dumps(text))
    with pytest.raises(UserError, match=r"config.json"):
        SavedRun(saved)


@pytest.mark.parametrize("text", [DEEP, "[1]", "7", "{}", '{"step": "3"}', '{"step": 3, "modes": "8"}', b"\xff", "{"])
def test_damaged_results_are_made_anew(config, saved, text, caplog):
    (saved / "final.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    cell = processes.Cell({"seed": 0}, saved, (), config)
    assert processes.finished(cell) is None
    assert "final.json is damaged. It is written again when the run is resumed." in caplog.text
    workdir.save_final({"step": 12, "modes": 8, "device": "cpu"}, saved)
    assert processes.finished(cell).final["modes"] == 8


@pytest.mark.parametrize("text", [DEEP, "7", "{}", "[1]", '[{"metrics": 3}]', b"\xff"])
def test_damaged_evaluations_are_told(saved, text):
    (saved / "evaluation.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"evaluation.json is damaged. Move it away, and evaluate again."):
        workdir.add_evaluation({"step": 1}, {}, saved)
