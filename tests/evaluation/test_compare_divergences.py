"""`python -m buresgan_jax.divergences`: its tables and picture, one line for each error."""

import importlib

import numpy as np
import pytest
from PIL import Image

from buresgan_jax import divergences
from buresgan_jax.divergences import DIVERGENCES, GaussianFit, TailWeights
from buresgan_jax.evaluation import compare_divergences, divergence_pictures

TWO = "--divergences=softened_reverse_kl,kl"


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """The command in this process: status, standard output, standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))

    def run(*arguments):
        capfd.readouterr()
        try:
            status = compare_divergences.main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code
        return (status, *capfd.readouterr())

    return run


def test_the_command_is_the_programs():
    assert importlib.import_module("buresgan_jax.divergences.__main__").main is compare_divergences.main


def test_the_table_has_every_divergence_from_covering_to_seeking(run):
    status, out, err = run()
    assert (status, err) == (0, "")
    header, *lines = out.splitlines()
    names = [line.split()[0] for line in lines[: len(DIVERGENCES)]]
    assert set(names) == set(DIVERGENCES)
    assert (names[0], names[-1]) == ("pearson", "neyman")
    at_once = [word for word in ("covers", "balanced", "seeks") for line in lines if f" {word} " in line]
    assert len(at_once) == len(DIVERGENCES)
    assert [line.split()[6] for line in lines[: len(DIVERGENCES)]] == at_once
    columns = {line.split()[0]: line.split()[1:9] for line in lines}
    assert columns["softened_reverse_kl"] == ["2", "0", "inf", "0.6137", "drops", "seeks", "0.06683", "inf"]
    assert columns["squared_hellinger"] == ["1.5", "1.5", "2", "2", "both", "balanced", "0.2053", "0.2053"]
    assert header.split()[:4] == ["divergence", "L", "R", "f(0)"]


def test_a_picture_of_some_comes_with_the_fitted_gaussians(run, tmp_path, drawn):
    status, out, err = run(TWO, f"--out={tmp_path / 'a.png'}")
    assert (status, err) == (0, "")
    words = [line.split() for line in out.splitlines()]
    assert ["kl", "0.4224", "-0.400", "2.081"] in words
    (seeking,) = (line for line in words if line[:2] == ["softened_reverse_kl", "0.3632"])
    assert seeking[1:] == ["0.3632", "-1.992", "0.711", "0.7293;", "1.986,", "0.718", "0.9746;", "-0.315,", "1.778"]
    (figure,) = drawn
    functions, weights, fits, tails = figure.axes
    assert len(functions.lines) == len(weights.lines) == len(fits.lines) == 2
    d, w = weights.lines[0].get_data()  # that of kl, which covers more
    np.testing.assert_allclose(w, np.exp(d))
    assert [text.get_text() for text in tails.texts][:2] == ["kl", "softened_reverse_kl"]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1485, 924)


@pytest.mark.parametrize(("suffix", "first"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")])
def test_the_suffix_is_the_format(tmp_path, suffix, first):
    own = divergences.power(1.2)
    fits = {own.name: [GaussianFit(0.0, 1.0, 0.5)]}
    path = tmp_path / f"a.{suffix}"
    divergence_pictures.divergence_panels(path, [own], fits, lambda x: -(x**2) / 2, lower=-4, upper=4)
    assert path.read_bytes().startswith(first)


def test_tendencies():
    expected = {TailWeights(0, 2): "covers", TailWeights(1, 0): "seeks", TailWeights(2, 2): "balanced"}
    assert {each.tails: divergence_pictures.tendency(each) for each in DIVERGENCES.values()}.items() >= expected.items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--divergences=revers_kl"], "Unknown divergence 'revers_kl'. Did you mean 'reverse_kl'?"),
        (["--divergences=,"], "--divergences is empty. Give names with commas between them: kl, reverse_kl"),
        (["--out={}"], "is a folder. Give a file."),
        (["--out={}/nowhere/a.png"], "does not exist. Create it, or give another file."),
        (["--out={}/a.jpg"], "a.jpg ends in none of .png, .pdf, .svg. Give such a file."),
        (["--out="], "--out is '', which is no path."),
        (["--figure=a.png"], "unrecognized arguments: --figure=a.png. --help lists all options."),
    ],
)
def test_a_mistake_is_one_line_before_any_work(run, tmp_path, arguments, message):
    status, out, err = run(*(each.format(tmp_path) for each in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_file_that_cannot_be_written_is_one_line(run, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(compare_divergences, "_draw", fail)
    status, _, err = run("--divergences=kl", f"--out={tmp_path / 'a.png'}")
    assert (status, err) == (2, "Cannot read or write: disk full.\n")
