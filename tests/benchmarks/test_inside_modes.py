"""The picture of samples inside modes."""

import pathlib
import sys

import numpy as np
from PIL import Image

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
    picture = np.asarray(Image.open(tmp_path / "inside.png").convert("RGB")).astype(int)
    upper, lower = np.split(picture[: len(picture) // 2 * 2], 2)
    empty = [(np.abs(half - [68, 1, 84]).sum(-1) < 6).mean() for half in (upper, lower)]  # the color of no sample
    assert empty[1] > 1.2 * empty[0] > 0.1
