"""Pictures have the requested content, and files appear complete."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from PIL import Image

from buresgan_jax.evaluation import pictures
from buresgan_jax.evaluation.pictures import Panel, gallery, image_grid, save_png, scatter

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
    assert narrow.shape == wide.shape == (792, 720, 3)
    # The frame (the left axis and its labels) lies in the first tenth of the picture.
    np.testing.assert_array_equal(narrow[80:, :60], wide[80:, :60])


def test_scatter_colors_samples_by_quality_and_circles_missed_modes(tmp_path):
    def is_red(pixels):
        return ((pixels[..., 0] > 180) & (pixels[..., 1:].max(-1) < 90)).any()

    def is_blue(pixels):
        return (pixels[..., 2] > pixels[..., 0] + 60).any()

    pairs = ("good", np.repeat(_MEANS, 20, axis=0)), ("bad", np.full((20, 2), 1.0))
    good, bad = (_scatter(tmp_path / f"{name}.png", x, means=_MEANS, std=0.1)[:-50] for name, x in pairs)  # no legend
    assert is_blue(good)
    assert not is_blue(bad)
    assert is_red(bad)
    assert not is_red(good)


def _legend(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


_QUALITY = ["within 3 std of a mode", "elsewhere", "mode", "mode not reached"]


def test_scatter_has_a_legend_and_numbers_of_modes_and_samples(tmp_path, drawn):
    samples = np.concatenate([np.repeat(_MEANS[:2], 3, axis=0), [[0.9, 0.9], [90, 0]]])
    scatter(tmp_path / "a.png", samples, means=_MEANS, std=0.1, real=_MEANS, title="bures, step 25000")
    assert drawn[0].axes[0].get_xlabel() == "2 of 3 modes reached, 75.0 % near a mode, spread 0.00, 1 of 8 outside"
    assert _legend(drawn[0]) == ["data", *_QUALITY]
    scatter(tmp_path / "b.png", samples[:6], real=_MEANS)
    assert drawn[1].axes[0].get_xlabel() == ""
    assert _legend(drawn[1]) == ["data", "sample"]
    scatter(tmp_path / "c.png", np.full((10_000, 2), 90), means=10 * np.tile(_MEANS, (10, 1)), std=0.1)  # a long text


def test_the_spread_inside_the_modes_is_below_the_picture(tmp_path, drawn):
    offsets = np.random.default_rng(0).normal(size=(6000, 2))
    for spread in (1.0, 0.5):
        samples = np.repeat(_MEANS, 2000, axis=0) + 0.01 * spread * offsets
        scatter(tmp_path / "a.png", samples, means=_MEANS, std=0.01)
    found = [figure.axes[0].get_xlabel().rpartition("spread ")[2] for figure in drawn]
    np.testing.assert_allclose(np.float64(found), [1, 0.5], atol=0.02)


def test_means_in_a_line_do_not_hide_the_samples(tmp_path, drawn):
    line = np.stack([np.linspace(0, 1, 50), np.zeros(50)], axis=1)
    for std in (0.05, 0.001):
        scatter(tmp_path / "a.png", line, means=line, std=std)
    num_circles = [sum(isinstance(each, EllipseCollection) for each in f.axes[0].collections) for f in drawn]
    assert num_circles == [0, 1]
    sizes = [figure.axes[0].collections[0].get_sizes()[0] for figure in drawn]
    assert sizes[0] < sizes[1] / 10


@pytest.mark.parametrize(("num_columns", "width"), [(1, 1), (5, 5), (12, 4)])
def test_galleries_have_lines_of_at_most_five_panels(tmp_path, drawn, num_columns, width):
    names = [f"alternating_{i}" for i in range(num_columns)]
    panels = [[Panel(points=_MEANS[: 1 + i % 3], means=_MEANS, std=0.1) for i in range(num_columns)] for _ in range(2)]
    panels[1][-1] = None
    gallery(tmp_path / "a.png", panels, rows=["ring", "unbalanced_grid"], columns=names)
    shown = [axes for axes in drawn[0].axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == names * 2
    labels = [f"{1 + i % 3} of 3 modes reached\n100.0 % near a mode\nspread 0.00" for i in range(num_columns)]
    assert [axes.get_xlabel() for axes in shown] == [*labels, *labels[:-1], ""]
    assert len({round(axes.get_position().x0, 3) for axes in shown}) == width
    assert _legend(drawn[0]) == _QUALITY


def test_galleries_of_images_have_captions(tmp_path, drawn):
    grids = [image_grid(np.zeros((4, 8, 8, channels))) for channels in (1, 3)]
    gallery(tmp_path / "a.png", [[Panel(image=x, caption="7 modes") for x in grids]], rows=["a"], columns=["b", "c"])
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["7 modes"] * 2
    assert _legend(drawn[0]) == []


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


def test_many_images_become_pixels_in_parts():
    images = np.random.default_rng(0).uniform(-1.1, 1.1, (600, 2, 2, 3)).astype(np.float32)
    images[300, 0, 0] = np.nan
    expected = np.rint((np.clip(np.nan_to_num(images, nan=-1), -1, 1) + 1) * np.float32(127.5)).astype(np.uint8)
    np.testing.assert_array_equal(pictures.to_uint8(images), expected)
