"""Runs `python -m buresgan_jax.main`, in this process or in another one."""

import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

from absl import flags
from absl.testing import flagsaver
from quick_compilation import xla_flags

from buresgan_jax import main
from buresgan_jax.cli import flag_errors

ROOT = pathlib.Path(__file__).parents[1]


class Result(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


def call(monkeypatch, argv: list[str], program=main.main) -> int:
    """Status of the command in this process: saves the seconds that a new one needs to start."""
    monkeypatch.setattr(sys, "argv", argv)  # ml_collections looks for overrides there
    monkeypatch.chdir(ROOT)
    sys.modules.pop("config_config", None)  # what ml_collections would load the next config file into
    saved = flagsaver.save_flag_values()
    try:
        return program(flag_errors.parse_or_exit(argv))
    except SystemExit as error:
        return error.code
    finally:
        flagsaver.restore_flag_values(saved)
        flags.FLAGS.unparse_flags()


def run_here(monkeypatch, capfd, *arguments: str) -> Result:
    """The command in this process, with what it prints."""
    capfd.readouterr()
    status = call(monkeypatch, ["main", *map(str, arguments)])
    return Result(status, *capfd.readouterr())


def start(*arguments: str, devices: int = 1, stderr: int = subprocess.PIPE) -> subprocess.Popen:
    """Starts the command in another process with that many CPU devices, compiled as in the tests' own process."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": xla_flags(devices)}
    command = [sys.executable, "-m", "buresgan_jax.main", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)


def finish(process: subprocess.Popen, timeout: float = 120) -> Result:
    """Waits for a started command; kills it where it hangs."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {timeout} s:\n{out}\n{err}") from None
    return Result(process.returncode, out, err or "")
