"""Pictures of latent spaces: colors say where z goes, nothing is cut off, and numbers are right."""

import numpy as np
import pytest
from PIL import Image

from buresgan_jax import data
from buresgan_jax.evaluation.latent_pictures import interpolation, latent_panels, nearest, place_colors

_RING = data.ring_mixture(std=0.1)


def _near(modes, per_mode=5, seed=0):
    """Points near these modes of the ring."""
    means = np.repeat(_RING.means[list(modes)], per_mode, axis=0)
    return means + 0.1 * np.random.default_rng(seed).normal(size=means.shape)


def test_points_nearest_to_a_mode_have_its_color():
    points = _near(range(8))
    np.testing.assert_array_equal(nearest(points, _RING.means), np.repeat(np.arange(8), 5))
    colors = place_colors(points, _RING.means, _RING)
    assert ((colors >= 0) & (colors <= 1)).all()
    np.testing.assert_array_equal(colors, np.repeat(colors[::5], 5, axis=0))
    differences = np.linalg.norm(colors[::5, None] - colors[::5], axis=-1)
    assert differences[~np.eye(8, dtype=bool)].min() > 0.15


def test_the_hue_turns_with_the_angle_and_the_center_is_gray():
    colors = place_colors(np.array([[0, 0], [1, 0], [-1, 0], [5, 0]]), np.array([[-1.0, 0], [1, 0], [0, 1], [0, -1]]))
    assert np.ptp(colors[0]) < 0.01
    assert colors[1, 0] > colors[1, 1:].max()  # red
    assert colors[2, 0] < colors[2, 1:].min()  # green and blue
    np.testing.assert_array_equal(colors[3], colors[1])  # beyond the reference


def _draw(path, *, groups, centers, **options):
    """Centers and z in two groups along the first of `dim` directions, which go to two modes."""
    z = centers + 0.1 * np.random.default_rng(1).normal(size=centers.shape)
    latent_panels(path, z=z, samples=_near(groups), centers=centers, center_samples=_near(groups, seed=2), **options)


@pytest.mark.parametrize("dim", [1, 2, 20])
def test_centers_and_z_have_the_color_of_the_mode_that_they_go_to(tmp_path, drawn, dim):
    centers = np.repeat([[-3.0], [3.0]], 5, axis=0) * np.eye(1, dim)
    _draw(tmp_path / "a.png", groups=(1, 5), centers=centers, real=_near(range(8)), mixture=_RING, title="bourgan")
    axes = drawn[0].axes
    assert [each.get_title() for each in axes] == ["data", "latent centers", "latent samples", "generated samples"]
    assert axes[1].get_xlabel() == "two directions, 100 % of the variance"
    colors = [each.collections[0].get_facecolors() for each in axes]
    of_modes = colors[0][::5]
    for each in colors[1:]:
        np.testing.assert_array_equal(each, np.repeat(of_modes[[1, 5]], 5, axis=0))
    assert np.ptp(axes[1].collections[0].get_offsets()[:, 0]) == pytest.approx(6)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1496, 434)


def test_unknown_modes_and_data_are_left_out(tmp_path, drawn):
    centers = np.random.default_rng(0).normal(size=(10, 3))
    _draw(tmp_path / "a.png", groups=(1, 5), centers=centers)
    _draw(tmp_path / "b.png", groups=(1, 5), centers=np.zeros((10, 3)))  # all in one place
    assert [each.get_title() for each in drawn[0].axes] == ["latent centers", "latent samples", "generated samples"]
    interpolation(tmp_path / "c.png", np.zeros((2, 3, 2)))
    assert drawn[2].axes[0].get_xlabel() == "dots: equally far apart in z"


def test_interpolations_say_which_share_is_near_a_mode(tmp_path, drawn):
    way = np.linspace(0, 1, 5)[:, None]
    lines = np.stack([(1 - way) * _RING.means[0] + way * _RING.means[k] for k in (1, 4, 4)])
    lines[2, 2] = 90.0
    interpolation(tmp_path / "a.png", lines, real=_near(range(8)), mixture=_RING, title="bures, step 25000")
    label = "dots: equally far apart in z, 40 % of them near a mode, 1 of 15 outside"
    assert drawn[0].axes[0].get_xlabel() == label
    assert len(drawn[0].axes[0].lines) == 2 * 3  # a line, and its ends
