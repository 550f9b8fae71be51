"""How programs end that somebody interrupts, whose output nobody reads, or that cannot read or write."""

import contextlib
import os
import signal
import sys

import helpers
import pytest

from buresgan_jax import prepare, train_classifier
from buresgan_jax.evaluation import compare_divergences, compare_sets
from buresgan_jax.training import loop, saved_run

RING = "--config=configs/ring.py:bures,smoke"
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections on Python 3.12
COMMANDS = {
    "divergences": (compare_divergences, "_chosen", []),
    "metrics": (compare_sets, "_run", ["--real=x", "--fake=y", "--metrics=fid"]),
    "prepare": (prepare, "prepare", ["mnist"]),
    "train_classifier": (train_classifier, "train_on_tfds", ["--data=mnist", "--out=x.npz"]),
}


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


@contextlib.contextmanager
def nobody_reads(monkeypatch):
    """Standard output is a pipe whose reader has gone away."""
    read, write = os.pipe()
    os.close(read)
    with contextlib.suppress(BrokenPipeError), open(write, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        yield


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_is_one_line_after_what_cleans_up(monkeypatch, capfd, name):
    module, function, arguments = COMMANDS[name]
    monkeypatch.setattr(module, function, raising(KeyboardInterrupt))
    assert module.main(arguments) == 128 + signal.SIGINT
    assert capfd.readouterr().err == "Interrupted.\n"


def test_only_training_is_resumed_after_an_error(monkeypatch, capfd, tmp_path):
    for module, name in ((loop, "train_and_evaluate"), (saved_run, "run_evaluation"), (saved_run, "run_sampling")):
        monkeypatch.setattr(module, name, raising(OSError("full")))
    told = "Cannot read or write: full."
    for arguments, message in (
        ([RING], f"{told} Rerun the same command to resume."),
        (["--mode=evaluate"], told),
        (["--mode=sample"], told),
    ):
        result = helpers.run_here(monkeypatch, capfd, f"--workdir={tmp_path}", *arguments)
        assert (result.status, result.err) == (1, f"{message}\n")


def test_output_that_nobody_reads_ends_a_program_without_a_word(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(saved_run, "run_evaluation", lambda *_, **__: [{"step": 3}])
    with nobody_reads(monkeypatch):
        for arguments in (["--list"], ["--mode=evaluate", f"--workdir={tmp_path}"]):
            assert helpers.run_here(monkeypatch, capfd, *arguments) == (1, "", "")
    monkeypatch.setattr(compare_sets, "_run", lambda _: {"fid": {"value": 1.0}})
    monkeypatch.setattr(compare_sets.tables, "of_entries", lambda _: "a table")
    with nobody_reads(monkeypatch):
        assert compare_sets.main(COMMANDS["metrics"][2]) == 1
        assert compare_divergences.main(["--divergences=kl"]) == 1
    assert capfd.readouterr() == ("", "")
