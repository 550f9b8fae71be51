"""What a run draws of its latent space at its end: lines between z, and where the centers of z go."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import make_config
from PIL import Image

from buresgan_jax import builders, data
from buresgan_jax.evaluation import latent_pictures
from buresgan_jax.training import latent_drawing, loop


def _draw(folder, method="gan", *, generate=None, **description):
    """What is drawn of an untrained generator, or of the function `generate`, on the ring."""
    config = make_config(method, latent__num_points=300) if method == "bourgan" else make_config(method)
    algorithm, known = builders.algorithm(config), builders.describe(config)._replace(**description)
    prepared = jax.tree.map(np.float32, algorithm.prepare(builders.source(config), 0))
    state = algorithm.init(jax.random.key(0), np.zeros(2, np.float32), prepared)
    if generate is not None:
        algorithm = algorithm._replace(generate=lambda state, z: generate(z))
    files = latent_drawing.draw_latent(folder, algorithm, state, jax.random.key(1), known, title="untrained")
    return files, algorithm, state


@pytest.fixture
def arguments(monkeypatch):
    """The arguments of the functions that draw, by name."""
    found = {}
    for name in ("interpolation", "latent_panels"):
        monkeypatch.setattr(
            latent_pictures, name, lambda *args, name=name, **options: found.update({name: (args, options)})
        )
    return found


def test_centers_and_z_are_drawn_with_what_the_generator_makes_of_them(tmp_path, arguments):
    files, algorithm, state = _draw(tmp_path, "bourgan")
    assert {name: path.name for name, path in files.items()} == {
        name: f"{name}.png" for name in ("interpolation", "latent")
    }
    _, drawn = arguments["latent_panels"]
    np.testing.assert_array_equal(drawn["centers"], state.latent["centers"])
    generate = functools.partial(algorithm.generate, state)
    np.testing.assert_allclose(drawn["center_samples"], generate(state.latent["centers"]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(drawn["samples"], generate(drawn["z"]), rtol=1e-4, atol=1e-6)
    modes = latent_pictures.nearest(drawn["real"], data.ring_mixture().means)
    assert set(modes) == set(range(8))


def test_lines_are_straight_in_z_and_join_different_modes_where_there_are_some(tmp_path, arguments):
    # Two coordinates of z, moved to a mode: most pairs are of one mode.
    _draw(tmp_path, generate=lambda z: z[:, :2] + jnp.array([[0.0, 2.5]]))
    (_, lines), drawn = arguments["interpolation"]
    assert lines.shape == (10, 101, 2)
    np.testing.assert_allclose(np.diff(lines, 2, axis=1), 0, atol=1e-5)
    ends = latent_pictures.nearest(lines[:, [0, -1]].reshape(-1, 2), drawn["mixture"].means).reshape(-1, 2)
    assert (ends[:, 0] != ends[:, 1]).all()
    assert "latent_panels" not in arguments  # a normal distribution has no centers


def test_points_of_unknown_modes_are_drawn_without_data(tmp_path, arguments):
    _draw(tmp_path, "bourgan", mixture=None, generate=lambda z: z[:, :1])
    assert len(arguments) == 2
    assert all(drawn["mixture"] is None and "real" not in drawn for _, drawn in arguments.values())
    assert arguments["latent_panels"][1]["samples"].shape == (1024, 2)


def test_a_run_draws_them_at_its_last_step(tmp_path):
    options = {"training__num_steps": 4, "training__sample_every_steps": 2}
    loop.train_and_evaluate(make_config("bourgan", **options), tmp_path)
    steps = [f"step_{step:08d}.png" for step in (0, 2, 4)]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["interpolation.png", "latent.png", *steps]
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"interpolation" in events
    assert b"latent" in events


def test_images_become_rows_of_interpolations(tmp_path):
    def generate(z):
        return jnp.broadcast_to(jnp.tanh(z[:, :1, None, None]), (len(z), 64, 64, 1))

    files, *_ = _draw(tmp_path, generate=generate, example_shape=(64, 64, 1))
    assert list(files) == ["interpolation"]
    with Image.open(files["interpolation"]) as picture:
        cells = np.asarray(picture)[2::66, 2::66].astype(int)
    assert cells.shape == (8, 8)
    changes = np.diff(cells, axis=1)
    assert ((changes >= 0).all(1) | (changes <= 0).all(1)).all()  # along a line in z
    assert len(set(cells[:, 0])) > 1
