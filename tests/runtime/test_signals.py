"""Signals stop a program in one line: recorded during training, at once while it starts."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest
from helpers import ROOT

from buresgan_jax.runtime import signals
from buresgan_jax.runtime.signals import StoppedError, StopSignals


@pytest.fixture
def hangup():
    """SIGHUP as it is without `nohup`."""
    old = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, old)


@pytest.mark.parametrize(
    ("argv", "words", "expected"),
    [
        ("-m --mode=sample", "python -m buresgan_jax.main --mode=sample", True),
        ("-m", "python -u -m buresgan_jax.sweep", True),
        ("-m", "python -um buresgan_jax.main", True),
        ("-m a -m b", "python -Wignore -mburesgan_jax.main a -m b", True),
        ("-m -m buresgan_jax.main", "python -m pytest -m buresgan_jax.main", False),
        ("-m", "python -m buresgan_jax_tools.main", False),
        ("coverage run -m buresgan_jax.main", "python bin/coverage run -m buresgan_jax.main", False),
        ("launcher.py -m buresgan_jax.x", "python launcher.py -m buresgan_jax.x", False),
        ("mine.py buresgan", "python mine.py buresgan", False),
        ("-c", "python -c pass", False),
        ("missing/buresgan", "python missing/buresgan", False),
    ],
)
def test_programs_of_the_package_are_told_from_others(argv, words, expected):
    assert signals.is_program(argv.split(), words.split()) == expected


def test_a_script_of_the_users_own_is_no_program_whatever_its_name(tmp_path):
    script = tmp_path / "buresgan"
    script.write_text("import buresgan_jax")
    assert not signals.is_program([str(script)], ["python", str(script)])
    assert "buresgan = buresgan_jax.cli.command:main" in (ROOT / "setup.cfg").read_text()
    script.write_text("import sys\nfrom buresgan_jax.cli.command import main\nsys.exit(main())")  # as pip writes it
    assert signals.is_program([str(script), "train"], ["python", str(script), "train"])


def test_a_program_that_cleans_up_is_interrupted_unless_ctrl_c_is_ignored(monkeypatch):
    monkeypatch.setattr(signals, "_IS_PROGRAM", True)
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signals.end_programs_in_one_line()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        signals.interrupt_programs()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a job in a shell's background
        signals.end_programs_in_one_line()
        signals.interrupt_programs()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_are_recorded_and_said_and_the_old_handlers_come_back(hangup, number, capfd):
    old = signal.getsignal(number)
    with StopSignals(alone=True) as stop:
        send(number)
        send(signal.SIGTERM)  # the first one counts
        assert stop.number == number
        with pytest.raises(StoppedError, match=f"{number.name}: stopped before the first step"):
            stop.stop_before_first_step()
    assert signal.getsignal(number) == old
    hint = " Ctrl-C again to stop at once, without saving." if number == signal.SIGINT else ""
    assert capfd.readouterr().err == f"{number.name}: stopping after this step.{hint}\n"


def test_a_hangup_that_is_ignored_stays_ignored(hangup):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    with StopSignals(alone=True) as stop:
        send(signal.SIGHUP)
        assert stop.number == 0


def test_other_processes_are_not_left_alone_by_the_first_signal():
    with StopSignals(alone=False) as stop, stop.interruptible():
        send(signal.SIGTERM)
        stop.stop_before_first_step()
        assert stop.number == signal.SIGTERM


def test_saying_something_to_a_terminal_that_was_closed_is_no_error(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Closed())
    signals.say("a line")


def test_ctrl_c_while_a_program_is_imported_ends_it_in_one_line():
    command = [sys.executable, "-X", "importtime", "-m", "buresgan_jax.main"]
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, handler)
    while "jaxlib" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert errors.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in errors
