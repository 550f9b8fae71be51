"""Many runs at once: their list, their outcomes, and resuming a stopped sweep."""

import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import helpers
import jax
import pytest

from buresgan_jax import builders, config, sweep
from buresgan_jax.data import DataMemory
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import tables
from buresgan_jax.launch import grid, processes, scheduler
from buresgan_jax.launch.processes import Cell, Outcome
from buresgan_jax.runtime.cores import available_cores
from buresgan_jax.training import devices, loop

# ml_collections loads config files in a way that Python 3.12 deprecates louder.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

# What stands in for a run: ends as its arguments say, after noting that it began.
PROGRAM = """
import json, os, pathlib, signal, sys, time
kind, workdir = sys.argv[1], pathlib.Path(sys.argv[2])
with open(workdir / "begun", "a") as file:
    file.write(f"{sorted(os.sched_getaffinity(0))}\\n")
if kind == "endless":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    time.sleep(60)
if kind == "diverged":
    sys.exit("Training diverged at step 3: loss is not finite.")
if kind == "failed":
    print("No such data set.")
    sys.exit(2)
(workdir / "config.json").write_text(sys.argv[3])
(workdir / "final.json").write_text(json.dumps({"step": 5, "modes": 8}))
"""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Cells of the given kinds."""

    def command(cell):
        return [sys.executable, "-c", PROGRAM, cell.labels["kind"], str(cell.workdir), cell.config.to_json()]

    monkeypatch.setattr(processes, "command", command)
    five_steps = config.default()
    five_steps.training.num_steps = 5
    return lambda *kinds: [
        Cell({"kind": kind, "seed": i}, tmp_path / f"{i}", (), five_steps) for i, kind in enumerate(kinds)
    ]


def test_what_fails_or_diverges_is_told_and_stops_nothing(fake, capfd):
    made = fake("failed", "done", "diverged", "done")
    outcomes = processes.run_cells(made, jobs=2, report=processes.Report(4, 0))
    assert [outcome.status for outcome in outcomes] == ["failed", "done", "diverged", "done"]
    assert outcomes[0].message == "exit status 2: No such data set."
    assert outcomes[2].message.startswith("Training diverged at step 3")
    said = capfd.readouterr().err
    assert "[4/4]" in said
    assert "kind=done seed=1: done" in said
    rows = processes.rows(made, outcomes)
    assert processes.metric_names(rows, ["kind", "seed"]) == ["modes"]
    text = tables.to_markdown(rows, by=["kind"], columns=["modes"])
    assert "| done | 2 | 8 (0) |" in text
    assert "| diverged | 1 (1 diverged) | - |" in text


def test_a_key_that_changes_nothing_is_no_grid(tmp_path):
    settings = {"algorithm.mode_weight": [1.0, 2.0]}
    with pytest.raises(UserError, match="all its runs would be the same. config.algorithm.name is 'gan'"):
        grid.make_cells(config.default("gan"), tmp_path, [0], settings, "--config=f", {})
    settings["algorithm.name"] = ["gan", "mdgan_v1"]
    assert len(grid.make_cells(config.default("gan"), tmp_path, [0], settings, "--config=f", {})) == 4


def test_a_table_comes_back_from_csv_as_it_was():
    rows = [
        {"method": "bures", "seed": 3, "modes": 7.5, "message": 'a "word", and\nanother'},
        {"method": "gan", "seed": 0, "reverse_kl": float("inf")},
    ]
    assert tables.from_csv(tables.to_csv(rows)) == rows


def test_finished_cells_are_not_run_again(fake, tmp_path):
    made = fake("done", "failed")
    for _ in range(2):
        assert [o.status for o in processes.run_cells(made, report=lambda *_: None)] == ["done", "failed"]
    begun = [(cell.workdir / "begun").read_text().count("\n") for cell in made]
    assert begun == [1, 2]
    made[0].config.bures.weight = 7.0
    with pytest.raises(UserError, match=r"belongs to a run with another config: bures.weight \(there 1.0, now 7.0"):
        processes.finished(made[0])
    made[0].config.bures.weight = 1.0
    made[0].config.evaluation.num_samples = 7  # it would have to be evaluated again
    assert processes.finished(made[0]) is None
    made[0].config.training.num_steps = 4
    with pytest.raises(UserError, match="is already at step 5, training.num_steps is 4"):
        processes.finished(made[0])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin processes")
def test_each_run_has_a_core_of_its_own(fake):
    cores, made = available_cores(), fake("done", "done")
    processes.run_cells(made, jobs=len(cores), report=lambda *_: None)
    used = {(cell.workdir / "begun").read_text().strip() for cell in made}
    assert used == {f"[{core}]" for core in cores[:2]}


def test_a_signal_lets_the_runs_save_and_ends(fake, tmp_path):
    made = fake("endless", "endless", "done")

    def send():
        while not all((cell.workdir / "begun").exists() for cell in made[:2]):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    reported = []
    with pytest.raises(KeyboardInterrupt, match="Rerun the same command to resume"):
        processes.run_cells(made, jobs=2, report=lambda cell, outcome, _: reported.append(outcome.status))
    thread.join()
    assert reported == ["stopped", "stopped"]
    assert not (tmp_path / "2").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for it")
def test_runs_end_with_a_sweep_that_is_killed(tmp_path):
    child = "import os, pathlib, time; pathlib.Path(f'pid_{os.getpid()}').touch(); time.sleep(60)"
    sweep_of_one = f"""
import subprocess, sys
from buresgan_jax.launch import processes
subprocess.run([sys.executable, "-c", processes._LAUNCHER, "", sys.executable, "-c", {child!r}])
"""
    path = str(pathlib.Path(processes.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen([sys.executable, "-c", sweep_of_one], cwd=tmp_path, env=environment)
    end = time.monotonic() + 50
    while not (noted := list(tmp_path.glob("pid_*"))):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    arguments = pathlib.Path("/proc") / noted[0].name.removeprefix("pid_") / "cmdline"  # of a dead process empty
    while arguments.exists() and arguments.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("text", "seeds"), [("0:3", [0, 1, 2]), ("5", [5]), ("3,1", [3, 1])])
def test_seeds_are_a_range_or_a_list(text, seeds):
    assert grid.parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "3:3", "a", "1,1", "-1", "1:2:3", "4294967296"])
def test_other_seeds_are_refused(text):
    with pytest.raises(UserError, match="give different seeds from 0 to 4294967295"):
        grid.parse_seeds(text)
    with pytest.raises(UserError, match="give at most 10,000 seeds"):
        grid.parse_seeds("0:4000000000")


def test_a_grid_is_the_product_of_its_values():
    base = config.default("bures,smoke")
    settings = grid.parse_grid(["bures.weight=1,0.5", "generator.hidden=(8,8),(4,)", "config.loss.name=hinge"], base)
    assert settings == {"bures.weight": [1, 0.5], "generator.hidden": [(8, 8), (4,)], "loss.name": ["hinge"]}
    made = grid.make_cells(base, pathlib.Path("w"), [3, 4], settings, "--config=f.py", {})
    assert len(made) == 8
    assert made[0].arguments[:2] == ("--config=f.py", "--config.bures.weight=1.0")
    assert made[1].labels == {"bures.weight": 1, "generator.hidden": (8, 8), "loss.name": "hinge", "seed": 4}
    assert len({cell.workdir for cell in made}) == 8


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("bures.wieght=1", "Unknown config key 'bures.wieght'. Did you mean 'bures.weight'?"),
        ("seed=1,2", "give seeds with --seeds."),
        ("method=gan,hinge", "it is the argument of the config file"),
        ("loss.name=None,hinge", "config.loss.name must be text, got None."),
        ("data.num_examples=abc", "data.num_examples=abc does not fit: the config needs int."),
        ("optimizer.b1=0.5,1", "config.optimizer.b1 must be below 1, got 1.0"),
        ("bures.weight=", "give different values"),
        ("bures.weight=1,1", "give different values"),
        ("bures.weight=a", "bures.weight=a does not fit"),
    ],
)
def test_a_wrong_grid_is_refused(argument, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        grid.parse_grid([argument], config.default())


def test_a_grid_replaces_what_the_command_line_gave_and_names_a_key_once():
    base = config.default("bures,smoke")
    made = grid.make_cells(base, pathlib.Path("w"), [0], {"bures.weight": [2.0]}, "--config=f", {"bures.weight": 1.0})
    assert made[0].arguments == ("--config=f", "--config.bures.weight=2.0", "--config.seed=0")
    with pytest.raises(UserError, match="bures.weight is given twice"):
        grid.parse_grid(["bures.weight=1", "bures.weight=2"], base)


def test_what_fails_under_one_vmap_is_told_and_stops_nothing(monkeypatch, tmp_path, capfd):
    arguments = [f"--workdir={tmp_path}", "--together=vmap", "--grid=training.batch_size=10004,8"]
    assert call_sweep(monkeypatch, *arguments) == 1
    out, err = capfd.readouterr()
    assert "failed after 0 s  config.training.batch_size 10004 is more than the 10000 examples" in err
    assert "| 10004 | 1 (1 failed) |" in out
    assert call_sweep(monkeypatch, "--workdir=gs://bucket/sweep") == 2


def test_resident_data_that_are_too_many_for_a_device_are_refused_under_one_vmap(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(devices, "data_memory", lambda copies: DataMemory(0, 100_000 // copies))
    arguments = [f"--workdir={tmp_path}", "--together=vmap", "--seeds=0:5", "--config.data.resident=True"]
    assert call_sweep(monkeypatch, *arguments) == 1  # 80,000 bytes each, five on four devices
    assert capfd.readouterr().err.count("failed after 0 s  data.resident=True: 'ring' takes 0.00 GB") == 5


def call_sweep(monkeypatch, *arguments):
    argv = ["sweep", "--config=configs/ring.py:smoke", "--config.training.sample_every_steps=0", *arguments]
    return helpers.call(monkeypatch, argv, sweep.main)


def test_one_command_trains_a_grid_under_one_vmap_and_again_does_nothing(monkeypatch, tmp_path, capfd):
    opened, source = [], builders.source
    monkeypatch.setattr(builders, "source", lambda config: opened.append(config.seed) or source(config))
    monkeypatch.setattr(builders, "data_fingerprint", lambda config: opened.append("fingerprint"))
    arguments = [f"--workdir={tmp_path}", "--together=vmap", "--seeds=1", "--grid=bures.weight=1,2"]
    arguments += ["--config.data.num_examples=20", "--config.data.resident=True"]
    assert call_sweep(monkeypatch, *arguments) == 0
    assert opened == [1, "fingerprint"]  # which walks a folder
    out, err = capfd.readouterr()
    assert "| 2.0 | 1 | " in out
    assert "[2/2]" in err
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["bures.weight"], row["seed"], row["status"]) for row in rows] == [
        (weight, "1", "done") for weight in ("1.0", "2.0")
    ]
    saved = json.loads((tmp_path / "bures.weight=2.0,seed=1" / "config.json").read_text())
    assert (saved["seed"], saved["bures"]["weight"], saved["data"]["resident"]) == (1, 2.0, True)
    assert call_sweep(monkeypatch, *arguments) == 0
    assert "2 of 2 runs are already done" in capfd.readouterr().err


def test_a_vmap_has_at_most_as_many_runs_as_jobs(monkeypatch):
    groups = []
    monkeypatch.setattr(scheduler, "_run_group", lambda group, _: groups.append(group) or [])
    made = [
        Cell({"seed": seed}, pathlib.Path("w"), (), config.default("gan" if seed < 3 else "bures")) for seed in range(5)
    ]
    monkeypatch.setattr(processes, "finished", lambda cell: None)
    scheduler.run(made, pathlib.Path("w"), how="vmap", jobs=2)
    assert groups == [[0, 1], [2], [3, 4]]


def test_a_program_of_processes_leaves_the_gpus_to_them(monkeypatch, tmp_path):
    settings = {}
    monkeypatch.setattr(jax.config, "update", settings.__setitem__)
    monkeypatch.setattr(scheduler, "run", lambda *_, **__: [Outcome("failed", {}, "")])
    for how, platforms in {"auto": None, "vmap": None, "processes": "cpu"}.items():
        assert call_sweep(monkeypatch, f"--workdir={tmp_path}", f"--together={how}", "--nocompilation_cache") == 1
        assert settings.get("jax_platforms") == platforms


def test_the_command_of_a_cell_is_understood_by_main(monkeypatch, tmp_path):
    made, configs = [], []

    def run_cells(all_cells, **_):
        made.extend(all_cells)
        return [Outcome("failed", {}, "")] * len(all_cells)

    monkeypatch.setattr(processes, "run_cells", run_cells)
    monkeypatch.setattr(loop, "train_and_evaluate", lambda config, workdir, **_: configs.append(config))
    grid = "--grid=generator.hidden=(4,4),(5,)"
    options = ["--together=processes", "--seeds=7", "--nocompilation_cache", f"--compilation_cache_dir={tmp_path}"]
    assert call_sweep(monkeypatch, f"--workdir={tmp_path}", *options, grid) == 1
    assert made[1].arguments[-2:] == ("--nocompilation_cache", f"--compilation_cache_dir={tmp_path}")
    argv = processes.command(made[1])[2:]
    assert helpers.call(monkeypatch, argv) == 0
    assert (configs[0].seed, configs[0].generator.hidden, configs[0].smoke) == (7, (5,), True)
    assert configs[0].training.sample_every_steps == 0


def test_a_grid_of_the_weights_of_two_terms_is_one_vmap(monkeypatch, tmp_path):
    groups, run_group = [], scheduler._run_group
    monkeypatch.setattr(scheduler, "_run_group", lambda group, cells: groups.append(group) or run_group(group, cells))
    argv = ["sweep", "--config=configs/ring.py:wgan_gp+bures,smoke", "--config.training.sample_every_steps=0"]
    argv += [f"--workdir={tmp_path}", "--together=vmap", "--config.algorithm.discriminator_steps=1"]
    argv += ["--grid=bures.weight=0.5,2", "--grid=gradient_penalty.weight=1,10"]
    assert helpers.call(monkeypatch, argv, sweep.main) == 0
    assert groups == [[0, 1, 2, 3]]
    with (tmp_path / "results.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 4
