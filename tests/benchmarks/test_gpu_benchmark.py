"""The list of GPU benchmarks: every entry can be run, and failures are reported."""

import pathlib
import shlex
import signal
import subprocess
import sys

import pytest
from helpers import is_running, wait_until

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
sys.path[:0] = [str(BENCHMARKS.parent), str(BENCHMARKS)]
import gpu  # noqa: E402
import steps  # noqa: E402

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@pytest.mark.parametrize("name", gpu.RUNS)
def test_every_entry_has_options_that_its_benchmark_knows(name):
    script, *options = shlex.split(gpu.RUNS[name])
    assert (gpu._FOLDER / script).exists()
    if script == "steps.py":
        assert steps.rows(steps.parse(options))
    else:
        assert not options


def test_an_entry_is_run_once_and_a_failure_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "_FOLDER", tmp_path)
    monkeypatch.setattr(
        gpu, "RUNS", {"good": "good.py --a={traces}", "steps": "steps.py", "bad": "bad.py", "long": "long.py"}
    )
    (tmp_path / "good.py").write_text("import sys; print(sys.argv[1:])")
    (tmp_path / "steps.py").write_text("import sys; open(sys.argv[1].split('=')[1], 'w').write('a page')")
    (tmp_path / "bad.py").write_text("raise SystemExit('no such device')")
    (tmp_path / "long.py").write_text("raise AssertionError('it was started')")
    output = tmp_path / "pages"
    assert gpu.main([f"--output={output}", "--only=good,steps,bad"]) == 1
    assert (output / "steps.md").read_text() == "a page"
    assert (output / "good.md").read_text().strip() == f"['--a={output / 'traces'}']"
    assert "no such device" in (output / "bad.failed.txt").read_text()
    assert "bad: exit status 1" in capsys.readouterr().out
    assert gpu.main([f"--output={output}", "--only=good"]) == 0
    assert gpu.main([f"--output={output}", "--only=long", "--minutes=0"]) == 1
    assert not (output / "long.md").exists()
    assert capsys.readouterr().out.splitlines() == ["good: there already", "long: no time was left"]


@pytest.fixture
def long_run(tmp_path, monkeypatch):
    """A benchmark that starts a process and takes minutes; returns a function that waits for that process's pid."""
    monkeypatch.setattr(gpu, "_FOLDER", tmp_path)
    monkeypatch.setattr(gpu, "RUNS", {"long": "long.py"})
    (tmp_path / "long.py").write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(__file__).with_name('new').write_text(str(child.pid))\n"
        "pathlib.Path(__file__).with_name('new').rename(pathlib.Path(__file__).with_name('pid'))\n"
        "time.sleep(600)"
    )

    def pid():
        wait_until((tmp_path / "pid").exists)
        return int((tmp_path / "pid").read_text())

    return pid


@on_linux
def test_what_takes_too_long_is_stopped_with_all_that_it_started(long_run, tmp_path, monkeypatch, capsys):
    def communicate(self, timeout):
        long_run()
        raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
    assert gpu.main([f"--output={tmp_path / 'pages'}", "--minutes=1"]) == 1
    assert capsys.readouterr().out.startswith("long: stopped after ")
    assert not (tmp_path / "pages" / "long.md").exists()
    wait_until(lambda: not is_running(long_run()))


@on_linux
def test_what_is_terminated_leaves_nothing_behind(long_run, tmp_path):
    code = f"import pathlib, gpu; gpu.exit_when_terminated(); gpu._FOLDER = pathlib.Path({str(tmp_path)!r})\n"
    code += f"gpu.RUNS = {gpu.RUNS!r}; gpu.main(['--output={tmp_path}'])"
    with subprocess.Popen([sys.executable, "-c", code], cwd=BENCHMARKS) as started:
        child = long_run()
        started.terminate()
    assert started.returncode == 128 + signal.SIGTERM
    wait_until(lambda: not is_running(child))


def test_an_unknown_name_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu.main([f"--output={tmp_path}", "--only=cifar"])
    assert "cifar is not one of cifar_tf32" in capsys.readouterr().err
