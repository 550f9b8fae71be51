"""The list of what is measured on a GPU: that every entry can be run, and that what fails is told."""

import pathlib
import shlex
import sys
import time

import pytest
from running import is_running

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent / "benchmarks")]
import gpu  # noqa: E402
import steps  # noqa: E402


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
    (tmp_path / "long.py").write_text("while True: pass")
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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_what_takes_too_long_is_stopped_with_all_that_it_started(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "_FOLDER", tmp_path)
    monkeypatch.setattr(gpu, "RUNS", {"long": "long.py"})
    (tmp_path / "long.py").write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(__file__).with_name('pid').write_text(str(child.pid))\n"
        "time.sleep(600)"
    )
    assert gpu.main([f"--output={tmp_path / 'pages'}", "--minutes=0.1"]) == 1
    assert capsys.readouterr().out.startswith("long: stopped after 6 s")
    assert not (tmp_path / "pages" / "long.md").exists()
    child, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 60
    while is_running(child):
        assert time.monotonic() < deadline


def test_an_unknown_name_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu.main([f"--output={tmp_path}", "--only=cifar"])
    assert "cifar is not one of cifar_tf32" in capsys.readouterr().err
