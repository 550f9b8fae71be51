import importlib.util
import runpy
import sys

import pytest

import buresgan_jax
from buresgan_jax.cli import command


@pytest.fixture
def call(monkeypatch):
    """Calls the command; returns its status, and the module and arguments that it would have run."""

    def call(*arguments):
        ran = []
        monkeypatch.setattr(sys, "argv", ["buresgan", *arguments])
        monkeypatch.setattr(sys, "path", ["/somewhere/bin", *sys.path])
        monkeypatch.setattr(runpy, "run_module", lambda name, **options: ran.append((name, sys.argv[1:], options)))
        return command.main(), ran

    return call


@pytest.mark.parametrize(
    ("words", "program"),
    [
        ("train --config=ring", "main --config=ring"),
        ("sample --workdir=x", "main --mode=sample --workdir=x"),
        ("evaluate --workdir=x", "main --mode=evaluate --workdir=x"),
        ("sweep --seeds=0:3", "sweep --seeds=0:3"),
        ("suite --help", "suite --help"),
        ("metrics --real=a", "metrics --real=a"),
        ("divergences --out=a.png", "divergences --out=a.png"),
        ("prepare cifar10", "prepare cifar10"),
        ("list", "main --list"),
        ("list bures.weight --config=ring", "main --list=bures.weight --config=ring"),
    ],
)
def test_each_command_is_a_program(call, words, program):
    module, *arguments = program.split()
    options = {"run_name": "__main__", "alter_sys": True}
    assert call(*words.split()) == (0, [(f"buresgan_jax.{module}", arguments, options)])
    assert sys.path[0] == ""  # so that the user's own parts in the current folder are found
    assert importlib.util.find_spec(f"buresgan_jax.{module}")


def test_help_version_and_a_wrong_name(call, capsys):
    for words in ([], ["--help"]):
        assert call(*words) == (0, [])
        said = capsys.readouterr().out
        assert all(f"\n  {name} " in said for name in command.COMMANDS)
    assert call("--version") == (0, [])
    assert capsys.readouterr().out == f"{buresgan_jax.__version__}\n"
    assert call("trian") == (2, [])
    assert capsys.readouterr().err == "There is no command 'trian'. Did you mean 'train'?\n"
