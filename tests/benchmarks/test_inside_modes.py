"""The picture of samples inside modes."""

import pathlib
import sys
import types

import helpers
import numpy as np
import pytest
from PIL import Image

import buresgan_jax
from buresgan_jax import data
from buresgan_jax.data import synthetic

sys.path[:0] = [str(pathlib.Path(__file__).parents[2] / "benchmarks")]
import inside_modes  # noqa: E402

MIXTURE = synthetic.grid_mixture()


def test_offsets_are_from_the_mean_in_standard_deviations():
    samples = MIXTURE.means[3] + MIXTURE.std * np.array([[1, -2], [0, 3.4], [0, 3.6]])
    np.testing.assert_allclose(inside_modes.around(samples, MIXTURE, 3), [[1, -2], [0, 3.4]], atol=1e-9)
    assert inside_modes.around(samples, MIXTURE, 4).shape == (0, 2)


def test_a_mode_that_is_a_point_looks_unlike_a_perfect_one(tmp_path):
    perfect = data.held_out_points(MIXTURE, 20_000, seed=0)
    lumps = MIXTURE.means[np.arange(20_000) % 25]
    inside_modes.draw({"perfect": perfect, "lumps": lumps}, MIXTURE, [0, 12], tmp_path / "inside.png")
    with Image.open(tmp_path / "inside.png") as opened:
        picture = np.asarray(opened.convert("RGB")).astype(int)
    upper, lower = np.split(picture[: len(picture) // 2 * 2], 2)
    empty = [(np.abs(half - [68, 1, 84]).sum(-1) < 6).mean() for half in (upper, lower)]  # the color of no sample
    assert empty[1] > 1.2 * empty[0] > 0.1


def test_the_program_draws_runs_of_one_data_set(tmp_path, monkeypatch, capsys):
    def load(workdir, *, ema):
        assert not ema
        points = data.held_out_points(MIXTURE, 1000, seed=1)
        return types.SimpleNamespace(config=helpers.load_config(workdir, "best"), sample=lambda n: points)

    monkeypatch.setattr(buresgan_jax, "load_generator", load)
    file = tmp_path / "inside.png"
    monkeypatch.setattr(sys, "argv", ["inside_modes.py", f"--figure={file}", "--modes=1,2", "one=grid", "two=grid"])
    inside_modes.main()
    with Image.open(file) as picture:
        width, height = picture.size
    assert height > width  # three rows, two columns
    for runs, message in (
        (["grid"], "'grid' is not TITLE=WORKDIR"),
        (["a=grid", "b=ring"], "different data: grid, ring"),
    ):
        monkeypatch.setattr(sys, "argv", ["inside_modes.py", f"--figure={file}", *runs])
        with pytest.raises(SystemExit):
            inside_modes.main()
        assert message in capsys.readouterr().err
