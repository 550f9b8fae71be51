"""The command line: one clear line for every mistake, and samples from a workdir alone."""

import json
import os
import pathlib
import pty
import shutil

import helpers
import jax
import numpy as np
import pytest
from PIL import Image

from buresgan_jax import config as config_lib
from buresgan_jax import sweep
from buresgan_jax.launch import scheduler
from buresgan_jax.training import loop

RING = "--config=configs/ring.py:smoke"

# ml_collections loads config files in a way that Python 3.12 deprecates louder.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def run(monkeypatch, capfd):
    """The command line in this process."""
    return lambda *arguments: helpers.run_here(monkeypatch, capfd, *arguments)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of points, color and gray pictures."""
    root = tmp_path_factory.mktemp("runs") / "what [1]*?"  # a name, not a pattern
    configs = {
        "points": RING,
        "color": "--config=configs/cifar.py:gan,smoke",
        "gray": "--config=configs/mnist.py:gan,smoke",
    }
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, config in configs.items():
            steps = ["--config.training.num_steps=2", "--config.training.sample_every_steps=0"]
            argv = ["main", config, f"--workdir={root / name}", *steps]
            assert helpers.call(monkeypatch, argv) == 0
    return root


def assert_one_line(result, message):
    assert result.status == 2, result
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err
    assert message in result.err


def listing(folder):
    files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_an_override_that_changes_nothing_is_told(run, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(loop, "train_and_evaluate", lambda *args, **kwargs: None)
    arguments = ["--config=configs/ring.py:gan", f"--workdir={tmp_path}", "--config.seed=1"]
    assert run(*arguments).status == 0
    assert caplog.text == ""
    assert run(*arguments, "--config.algorithm.mode_weight=2").status == 0
    assert "--config.algorithm.mode_weight changes nothing: config.algorithm.name is 'gan'" in caplog.text


def test_none_is_taken_where_a_key_may_be_none(run, monkeypatch, tmp_path):
    configs = []
    monkeypatch.setattr(loop, "train_and_evaluate", lambda config, *_, **__: configs.append(config))
    keys = {"data.num_examples": 7, "data.resident": True, "data.data_dir": "x", "bures.rtol": 0.5}
    for word in ("", "None"):
        overrides = [f"--config.{key}={word or value}" for key, value in keys.items()]
        assert run("--config=configs/ring.py:bures", f"--workdir={tmp_path}", *overrides).status == 0
    given, none = (config_lib.flatten(config) for config in configs)
    assert {key: given[key] for key in keys} == keys
    assert {key: none[key] for key in keys} == dict.fromkeys(keys)


@pytest.mark.parametrize("program", ["main", "sweep"])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.28 TiB."),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nBuffers:"),
    ],
)
def test_memory_that_ends_in_the_middle_is_one_line(monkeypatch, tmp_path, capfd, program, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(loop, "train_and_evaluate", fail)
    monkeypatch.setattr(scheduler, "run", fail)
    argv = [program, RING, f"--workdir={tmp_path}"]
    status = helpers.call(monkeypatch, argv, {"main": None, "sweep": sweep.main}[program])
    assert_one_line(helpers.Result(status, *capfd.readouterr()), "Out of memory (")


MISTAKES = {
    "method": (["--config=configs/ring.py:burres"], "Unknown method 'burres'. Did you mean 'bures'? Available: "),
    "term": (["--config=configs/ring.py:gan+burres"], "Unknown component 'burres'. Did you mean 'bures'?"),
    "loss": ([RING, "--config.loss.name=hnge"], "Unknown loss 'hnge'. Did you mean 'hinge'?"),
    "list": (["--list=bures.wieght"], "There is no list and no key 'bures.wieght'. Did you mean 'bures.weight'?"),
    "data set": ([RING, "--config.data.name=rign"], "Unknown data set 'rign'. Did you mean 'ring'?"),
    "group": (
        [RING, "--config.trainig.num_steps=3"],
        "Unknown config key 'trainig' in --config.trainig.num_steps=3. Did you mean 'training'?",
    ),
    "key": (
        [RING, "--config.training.num_step=3"],
        "Unknown config key 'num_step' in --config.training.num_step=3. Did you mean 'num_steps'?",
    ),
    "strange key": (
        [RING, "--config.zzz=3"],
        "Unknown config key 'zzz' in --config.zzz=3. python -m buresgan_jax",
    ),
    "key below a number": (
        [RING, "--config.training.num_steps.x=3"],
        "Unknown config key 'x' in --config.training.num",
    ),
    "whole number": ([RING, "--config.training.num_steps=abc"], "num_steps=abc: it is not an integer."),
    "number": ([RING, "--config.bures.weight=abc"], "--config.bures.weight=abc: it is not a number."),
    "truth": ([RING, "--config.smoke=abc"], "--config.smoke=abc: it is neither true nor false."),
    "method after the file": (
        [RING, "--config.method=gan"],
        "config.method=gan: it is the argument of the config file.",
    ),
    "smoke after the file": (
        [RING, "--config.smoke=False"],
        "Write --config=FILE.py:METHOD+TERM, or FILE.py:METHOD,smoke",
    ),
    "whole group": ([RING, "--config.training={}"], "config.training is a group. Give its keys one by one"),
    "options of another": (
        ["--config=configs/ring.py:mdgan_v1,smoke", "--config.algorithm.name=mdgan_v2"],
        "config.algorithm.name=mdgan_v2 would keep config.algorithm.reconstruction_weight=0.2, the default of another",
    ),
    "none": ([RING, "--config.loss.name=None"], "config.loss.name must be a name, got None. Available: f_gan, hinge"),
    "no number": (
        [RING, "--config.training.num_steps=None"],
        "config.training.num_steps must be a whole number, got None",
    ),
    "no metrics": ([RING, "--config.evaluation.metrics=None"], "config.evaluation.metrics must be text, got None"),
    "no config": (
        [],
        "--config is missing. Give a config, such as --config=ring, or the --workdir of a run",
    ),
    "empty config": (["--config="], "Config file '' does not exist."),
    "config file": (
        ["--config=configs/rign.py"],
        "Config file 'configs/rign.py' does not exist. Did you mean 'configs/ring",
    ),
    "config after": (["--config.seed=3", RING], "--config.seed=3 needs a config file before it"),
    "positional": ([RING, "more", "words"], "Unexpected arguments: more words. Options are written --name=value."),
    "flag": ([RING, "--wokdir=x"], "Unknown command line flag 'wokdir'. Did you mean --workdir?"),
    "mode": ([RING, "--mode=trian"], "--mode=trian: value should be one of <train|evaluate|sample>."),
    "devices": ([RING, "--config.training.batch_size=6"], "batch_size 6 is not divisible by the 4 devices."),
    "steps": ([RING, "--config.training.num_steps=0"], "config.training.num_steps must be at least 1, got 0."),
    "batch": ([RING, "--config.training.batch_size=10004"], "is more than the 10000 examples of the data set"),
    "seed": ([RING, "--config.seed=-1"], "config.seed must be at least 0, got -1."),
    "processes": ([RING, "--num_processes=2"], "Give --coordinator_address, --num_processes and --process_id together"),
    "port": (
        [RING, "--num_processes=2", "--process_id=0", "--coordinator_address=localhost:\u00b2"],
        "--coordinator_address must be HOST:PORT",
    ),
    "folder not given": (["--config=configs/image_folder.py"], "config.data.path is not set."),
    "no folder": (["--config=configs/image_folder.py", "--config.data.path=/none"], "Folder '/none' does not exist."),
    "unprepared": (
        ["--config=configs/mnist.py", "--config.data.data_dir=/none"],
        "Run: python -m buresgan_jax.prepare mnist",
    ),
    "samples": (["--mode=sample", "--num_samples=0"], "--num_samples=0: 0 is not an integer in the range [1, "),
    "large seed": ([RING, "--config.seed=4294967296"], "config.seed must be at most 4294967295, got 4294967296."),
    "seed of samples": (["--mode=sample", "--seed=4294967296"], "not an integer in the range [0, 4294967295]."),
    "no run": (["--mode=sample"], "config.json does not exist. Give the --workdir of a training run."),
    "no run to evaluate": (["--mode=evaluate"], "config.json does not exist. Give the --workdir of a training run."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_one_line_and_writes_nothing(run, tmp_path, name):
    arguments, message = MISTAKES[name]
    assert_one_line(run(*arguments, f"--workdir={tmp_path / 'new'}"), message)
    assert listing(tmp_path) == {}


def test_missing_workdir_is_named(run):
    assert_one_line(run(RING), "--workdir is missing. Give a folder for the run, such as --workdir=runs/ring.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:\n  pass\n", "line 1: SyntaxError: invalid syntax"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def get_config():\n  return foo\n", "line 2: NameError: name 'foo' is not defined"),
        ("def get_config():\n  raise ValueError('bad')\n", "line 2: ValueError: bad"),
        ("def get_config():\n  pass\n", "get_config() does not return a ConfigDict"),
        ("x = 1\n", "has no function get_config."),
    ],
)
def test_a_mistake_in_a_config_file_is_told_with_its_line(run, tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    result = run(f"--config={file}", f"--workdir={tmp_path / 'new'}")
    assert_one_line(result, message)
    assert f"Config file {file}" in result.err


def test_workdir_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "below", "/proc/new"):
        assert_one_line(run(RING, f"--workdir={workdir}"), f"Cannot write to workdir {workdir}: ")


def test_image_folder_without_or_with_broken_pictures_is_told(run, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    flags = ["--config=configs/image_folder.py", f"--config.data.path={folder}", f"--workdir={tmp_path / 'new'}"]
    assert_one_line(run(*flags), "has no pictures")
    (folder / "broken.png").write_bytes(b"broken")
    assert_one_line(run(*flags, "--config.data.on_broken=error"), "(broken.png: not a picture)")


# A workdir and its config


def test_a_workdir_of_an_older_version_is_refused_in_one_line(run, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"method": "bures", "penalty": {"name": "bures"}}))
    assert_one_line(run("--mode=sample", f"--workdir={tmp_path}"), "config.json: It is of an older version")


def test_other_config_is_refused_naming_the_keys_and_free_keys_may_differ(run, runs, tmp_path):
    workdir = pathlib.Path(shutil.copytree(runs / "points", tmp_path / "run[0]"))
    flags = [RING, f"--workdir={workdir}", "--config.training.sample_every_steps=0"]
    before = listing(workdir)
    result = run(*flags, "--config.seed=7", "--config.latent.dim=9", "--config.training.num_steps=9")
    assert_one_line(result, "another config: latent.dim (there 4, now 9), seed (there 0, now 7). Use another --workdir")
    assert listing(workdir) == before
    # Tuples are lists in JSON; a key that an older version did not know has its default.
    saved = json.loads((workdir / "config.json").read_text())
    del saved["bures"]["max_samples"], saved["optimizer"]["schedule"]
    (workdir / "config.json").write_text(json.dumps(saved))
    assert run(*flags, "--config.training.num_steps=3", "--config.training.log_every_steps=3").status == 0
    assert json.loads((workdir / "config.json").read_text())["training"]["num_steps"] == 3
    assert_one_line(
        run(*flags, "--config.optimizer.schedule=cosine", "--config.optimizer.decay_steps=9"),
        "optimizer.schedule (there 'constant', now 'cosine')",
    )


def test_a_run_is_resumed_with_its_own_config(run, tmp_path, monkeypatch):
    workdir, calls = tmp_path / "a:b,[c]", []
    (workdir / "checkpoints" / "1").mkdir(parents=True)
    saved = helpers.load_config("ring", "smoke").to_json()
    (workdir / "config.json").write_text(saved)
    monkeypatch.setattr(loop, "train_and_evaluate", lambda config, workdir, **_: calls.append((config, workdir)))
    flags = [f"--workdir={workdir}", "--config.training.num_steps=3", "--config.training.steps_per_call=2"]
    result = run(*flags)
    assert (result.status, result.err) == (0, f"Taking the config of the run in {workdir}.\n")
    ((config, where),) = calls
    changed = {"num_steps": 3, "steps_per_call": 2}
    expected = json.loads(saved)
    assert json.loads(config.to_json()) == expected | {"training": expected["training"] | changed}
    assert where == str(workdir)
    assert_one_line(run(f"--workdir={workdir}", "--config.training.num_stepz=3"), "Unknown config key 'num_stepz'")
    assert_one_line(run("--workdir", f"{workdir}", "--config.seed=abc"), "--config.seed=abc: it is not an integer.")
    monkeypatch.undo()
    result = run(f"--workdir={workdir}", "--config.seed=7")
    assert result.status == 2
    assert "another config: seed (there 0, now 7). Use another --workdir" in result.err.splitlines()[-1]
    (workdir / "config.json").write_text("{")
    assert_one_line(run(f"--workdir={workdir}"), "config.json is damaged or not of a run (")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"method": "gan", "training": 3}'])
def test_damaged_config_file_of_a_workdir_is_told(run, runs, tmp_path, text):
    workdir = pathlib.Path(shutil.copytree(runs / "points", tmp_path / "run"))
    (workdir / "config.json").write_text(text)
    for arguments in ([RING], ["--mode=sample"]):
        assert_one_line(run(*arguments, f"--workdir={workdir}"), "config.json is damaged or not of a run (")


def test_damaged_newest_checkpoint_falls_back_and_says_so(run, runs, tmp_path, caplog):
    workdir = pathlib.Path(shutil.copytree(runs / "points", tmp_path / "run"))
    (workdir / "checkpoints" / "2" / "manifest" / "metadata").write_text("{")
    before = listing(workdir)
    result = run("--mode=evaluate", f"--workdir={workdir}")
    assert (result.status, json.loads(result.out)["step"]) == (0, 1)
    assert "Checkpoint 2 cannot be read (" in caplog.text
    assert "| modes |" in result.err
    (document,) = json.loads((workdir / "evaluation.json").read_text())
    assert (document["step"], document["seed"]) == (1, 0)
    values = {name: entry["value"] for name, entry in document["metrics"].items()}
    assert values.items() <= json.loads(result.out).items()
    assert document["metrics"]["ema_modes"]["n_fake"] == json.loads(result.out)["num_samples"]
    assert document["metrics"]["modes"]["min_hits"] == 1
    (workdir / "evaluation.json").unlink()
    assert listing(workdir) == before

    result = run(RING, f"--workdir={workdir}", "--config.training.sample_every_steps=0")
    assert result.status == 0
    assert "Checkpoint 2 is damaged (" in caplog.text
    assert (workdir / "bad_checkpoints" / "2").is_dir()
    assert (workdir / "metrics.jsonl").read_text() == (runs / "points" / "metrics.jsonl").read_text()

    for step in ("1", "2"):
        shutil.rmtree(workdir / "checkpoints" / step / "state")
    before = listing(workdir)
    for arguments in ([RING, "--config.training.sample_every_steps=0"], ["--mode=sample"]):
        assert_one_line(run(*arguments, f"--workdir={workdir}"), "None of the checkpoints in ")
        assert listing(workdir) == before


def test_a_config_beside_a_finished_run_must_be_its_own_and_its_free_keys_are_used(run, runs, tmp_path, caplog):
    workdir = pathlib.Path(shutil.copytree(runs / "points", tmp_path / "run"))
    for mode in ("--mode=evaluate", "--mode=sample"):
        command = [f"--workdir={workdir}", f"--out={tmp_path / 'x.npz'}", mode]
        other = ["--config=configs/ring.py:gan,smoke"]
        assert_one_line(run(*command, *other), "belongs to a run with another config: ")
        assert_one_line(run(*command, RING, "--config.seed=3"), "another config: seed (there 0, now 3)")
    caplog.clear()
    changes = ["--config.evaluation.num_samples=7", "--config.evaluation.min_hits=2", "--min_hits=3"]
    result = run(f"--workdir={workdir}", "--mode=evaluate", RING, *changes, "--config.training.log_every_steps=9")
    assert json.loads(result.out)["num_samples"] == 7
    (document,) = json.loads((workdir / "evaluation.json").read_text())
    assert document["metrics"]["modes"]["min_hits"] == 3  # the flag wins
    assert [record.getMessage() for record in caplog.records] == [
        "training.log_every_steps changes nothing in --mode=evaluate."
    ]


# Samples


@pytest.mark.parametrize(("name", "shape"), [("points", (2,)), ("color", (32, 32, 3)), ("gray", (28, 28, 1))])
def test_samples_are_written_from_a_workdir_alone(run, runs, tmp_path, name, shape):
    before = listing(runs / name)
    for out in ("x.png", "deep/er/x.npz", "folder"):
        result = run("--mode=sample", f"--workdir={runs / name}", f"--out={tmp_path / out}", "--num_samples=5")
        if (name, out) == ("points", "folder"):
            assert_one_line(result, "Points cannot be written as one PNG each.")
        else:
            assert (result.status, result.err) == (0, ""), result
            assert result.out == f"Wrote 5 samples to {tmp_path / out}.\n"
    samples = np.load(tmp_path / "deep" / "er" / "x.npz")["samples"]
    assert samples.shape == (5, *shape)
    assert samples.dtype == (np.float32 if name == "points" else np.uint8)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG"
    if name != "points":
        again = run("--mode=sample", f"--workdir={runs / name}", f"--out={tmp_path / 'folder'}", "--num_samples=2")
        assert_one_line(again, "is not empty (it holds 00000.png, 00001.png, ...)")
        files = sorted((tmp_path / "folder").iterdir())
        assert [file.name for file in files] == [f"{number:05d}.png" for number in range(5)]
        with Image.open(files[3]) as picture:
            np.testing.assert_array_equal(np.asarray(picture).reshape(shape), samples[3])
    assert listing(runs / name) == before


def test_samples_depend_on_seed_and_weights(run, runs, tmp_path):
    def draw(*options):
        out = tmp_path / "x.npz"
        assert run("--mode=sample", f"--workdir={runs / 'points'}", f"--out={out}", *options).status == 0
        return np.load(out)["samples"]

    np.testing.assert_array_equal(draw("--num_samples=300")[:4], draw("--num_samples=4"))
    assert not np.array_equal(draw("--seed=1"), draw())
    assert not np.array_equal(draw("--noema"), draw())


def test_out_that_cannot_be_written_and_data_without_metrics_are_told(run, runs, tmp_path):
    (tmp_path / "file").touch()
    flags = ["--mode=sample", f"--workdir={runs / 'points'}", f"--out={tmp_path / 'file' / 'x.png'}"]
    assert_one_line(run(*flags), "Cannot write samples to ")
    assert_one_line(run("--mode=evaluate", f"--workdir={runs / 'gray'}"), "There is no metric for the data set 'mnist'")


# A process of its own


def test_training_shows_a_live_line_on_a_terminal_and_plain_lines_elsewhere(tmp_path):
    main, terminal = pty.openpty()
    live = helpers.start(RING, f"--workdir={tmp_path / 'live'}", stderr=terminal)
    plain = helpers.start(RING, f"--workdir={tmp_path / 'plain'}")
    os.close(terminal)
    shown = b""
    with open(main, "rb", buffering=0) as screen:
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # how a pseudo-terminal ends
            pass
    results = [helpers.finish(process) for process in (live, plain)]
    assert [result.status for result in results] == [0, 0]
    shown = shown.decode()
    assert "2/2 [" in shown, shown
    assert "generator_loss" in shown
    assert "\r" in shown
    lines = results[1].err.splitlines()
    assert any(line.startswith("step 2/2  ") and "left  bures " in line for line in lines)
    assert "nan" not in results[1].err
    assert "\r" not in results[1].err
    assert all(json.loads(result.out.removeprefix("final "))["step"] == 2 for result in results)


def test_help_and_a_mistake_in_a_process_of_its_own(tmp_path):
    asked = helpers.start("--help")
    wrong = helpers.start("--config=configs/ring.py:burres", f"--workdir={tmp_path / 'new'}")
    result = helpers.finish(asked)
    assert result.status == 0
    assert "--workdir" in result.out
    assert_one_line(helpers.finish(wrong), "Unknown method 'burres'.")
