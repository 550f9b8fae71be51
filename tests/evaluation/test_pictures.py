"""Pictures have the requested content, and files appear complete."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from buresgan_jax.evaluation.pictures import image_grid, save_png, scatter

_MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_puts_images_row_by_row_on_white(channels):
    values = np.arange(5, dtype=np.uint8) * 10
    images = np.broadcast_to(values[:, None, None, None], (5, 2, 3, channels))
    grid = image_grid(images, columns=3, padding=1, scale=1)
    expected = np.full((7, 13), 255)
    for i, value in enumerate(values):
        row, column = 1 + 3 * (i // 3), 1 + 4 * (i % 3)
        expected[row : row + 2, column : column + 3] = value
    np.testing.assert_array_equal(grid, np.repeat(expected[..., None], channels, axis=-1))
    assert grid.dtype == np.uint8


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_floating_images_are_scaled_and_clipped(dtype):
    images = jnp.array([-1.0, -3.0, 1.0, 7.0, jnp.nan, 0.0], dtype).reshape(6, 1, 1, 1)
    grid = image_grid(images, columns=6, padding=0, scale=1)
    np.testing.assert_array_equal(grid[0, :, 0], [0, 0, 255, 255, 0, 128])


@pytest.mark.parametrize(("size", "side"), [(28, 84), (32, 64), (64, 64), (96, 96), (8, 64)])
def test_small_images_are_enlarged(size, side):
    assert image_grid(np.zeros((9, size, size, 3)), padding=0).shape == (3 * side, 3 * side, 3)


def test_enlarging_repeats_pixels():
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    grid = image_grid(image, padding=0, scale=2)
    np.testing.assert_array_equal(grid[..., 0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 1), (4, 6)])
def test_png_round_trip_into_a_new_folder(tmp_path, shape):
    array = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    path = tmp_path / "new" / "picture.png"
    save_png(path, 255 - array)
    save_png(str(path), array)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), array.reshape(4, 6) if shape != (4, 6, 3) else array)
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]


def _scatter(path, samples, **options):
    scatter(path, samples, **options)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_scatters_of_one_run_have_one_size_and_one_frame(tmp_path):
    random = np.random.default_rng(0)
    narrow = _scatter(tmp_path / "a.png", 0.01 * random.normal(size=(50, 2)), means=_MEANS, std=0.1, title="step 1")
    wide = _scatter(tmp_path / "b.png", 9 * random.normal(size=(50, 2)), means=_MEANS, std=0.1)
    assert narrow.shape == wide.shape == (720, 720, 3)
    # The frame (the left axis and its labels) lies in the first tenth of the picture.
    np.testing.assert_array_equal(narrow[80:, :60], wide[80:, :60])


def test_scatter_colors_samples_by_quality_and_circles_missed_modes(tmp_path):
    def is_red(pixels):
        return ((pixels[..., 0] > 180) & (pixels[..., 1:].max(-1) < 90)).any()

    def is_blue(pixels):
        return (pixels[..., 2] > pixels[..., 0] + 60).any()

    good = _scatter(tmp_path / "good.png", np.repeat(_MEANS, 20, axis=0), means=_MEANS, std=0.1)
    bad = _scatter(tmp_path / "bad.png", np.full((20, 2), 1.0), means=_MEANS, std=0.1)
    assert is_blue(good)
    assert not is_blue(bad)
    assert is_red(bad)
    assert not is_red(good)


def test_scatter_needs_samples_only_and_survives_nan(tmp_path):
    _scatter(tmp_path / "plain.png", np.zeros((1, 2)))
    samples = jnp.array([[0.0, 0.0], [jnp.nan, 1.0], [jnp.inf, 1.0]])
    _scatter(tmp_path / "nan.png", samples, real=_MEANS, means=_MEANS)
    _scatter(tmp_path / "real.png", samples, real=_MEANS)
    _scatter(tmp_path / "all_nan.png", np.full((3, 2), np.nan))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((4, 8, 8)), {}, r"got \(4, 8, 8\)"),
        (np.zeros((4, 8, 8, 2)), {}, r"got \(4, 8, 8, 2\)"),
        (np.zeros((0, 8, 8, 3)), {}, r"got \(0, 8, 8, 3\)"),
        (np.zeros((4, 8, 8, 3), np.int32), {}, "got int32"),
        (np.zeros((4, 8, 8, 3)), {"columns": 0}, "got 0, 2 and 8"),
    ],
)
def test_grid_errors_say_what_was_got(images, options, message):
    with pytest.raises(ValueError, match=message):
        image_grid(images, **options)


def test_other_errors_say_what_was_got(tmp_path):
    with pytest.raises(ValueError, match=r"got float64 of shape \(4, 4, 3\)"):
        save_png(tmp_path / "a.png", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=r"real of shape \[n, 2\], n >= 1; got \(3, 3\)"):
        scatter(tmp_path / "a.png", np.zeros((3, 2)), real=np.zeros((3, 3)))
    assert not list(tmp_path.iterdir())
