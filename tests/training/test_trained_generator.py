"""Trained generators in other programs: from workdirs whose checkpoints hold random numbers."""

import helpers
import jax
import numpy as np
import pytest

import buresgan_jax
from buresgan_jax.evaluation import pictures
from buresgan_jax.training import saved_run

CONFIGS = {"points": ("ring", "veegan"), "images": ("mnist", "mdgan_v1")}
POINTS = pytest.mark.parametrize("run", ["points"], indirect=True)


@pytest.fixture(scope="module", params=CONFIGS)
def run(request, tmp_path_factory):
    """A workdir with checkpoints of the steps 3 and 7."""
    folder, (name, method) = tmp_path_factory.mktemp(request.param), CONFIGS[request.param]
    helpers.save_random_run(folder, helpers.load_config(name, f"{method},smoke"), steps=(3, 7))
    return folder


def test_samples_are_those_of_the_command(run, tmp_path):
    generator = buresgan_jax.load_generator(run)
    assert generator.step == 7
    samples = generator.sample(5, seed=3)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(generator.sample(2, 3), samples[:2])
    assert not np.array_equal(generator.sample(5), samples)
    saved_run.run_sampling(run, tmp_path / "x.npz", num_samples=5, seed=3)
    written = np.load(tmp_path / "x.npz")["samples"]
    np.testing.assert_array_equal(written, samples if samples.ndim == 2 else pictures.to_uint8(samples))


@POINTS
def test_checkpoint_and_average_are_chosen(run):
    choices = (7, True), ("7", False), (3, True)
    generators = [buresgan_jax.load_generator(str(run), checkpoint=step, ema=ema) for step, ema in choices]
    assert [generator.step for generator in generators] == [7, 7, 3]
    z = np.ones((1, generators[0].latent_dim), np.float32)
    assert len({float(generator.generate(z)[0, 0]) for generator in generators}) == 3


def test_an_exported_generator_needs_jax_alone_for_any_number_of_rows(run, tmp_path):
    generator, file = buresgan_jax.load_generator(run), tmp_path / "generator.bin"
    generator.export(file)
    exported = jax.export.deserialize(bytearray(file.read_bytes()))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert [path.name for path in tmp_path.iterdir()] == ["generator.bin"]
    for rows in (1, 3, 8):
        z = np.random.default_rng(rows).normal(size=(rows, generator.latent_dim)).astype(np.float32)
        np.testing.assert_allclose(exported.call(z), generator.generate(z), rtol=1e-6, atol=1e-6)


@POINTS
def test_generate_takes_any_floats_under_transformations_and_explains_wrong_calls(run):
    generator = buresgan_jax.load_generator(run)
    z = np.random.default_rng(0).normal(size=(2, generator.latent_dim))
    assert generator.generate(z).dtype == np.float32
    assert np.any(jax.grad(lambda z: generator.generate(z).sum())(z.astype(np.float32)))
    for wrong in (z[0], z[:, :-1], z[None]):
        with pytest.raises(ValueError, match=r"z must have shape \[n, latent_dim\] = \[n, \d+\], got \("):
            generator.generate(wrong)
    for n, seed in ((0, 0), (1, -1), (1, 2**32)):
        with pytest.raises(ValueError, match=f"n must be at least 1 and seed .*, got n={n} and seed={seed}"):
            generator.sample(n, seed)


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(ValueError, match="holds no run: .* does not exist"):
        buresgan_jax.load_generator(tmp_path)


def test_z_of_samples_and_their_centers_are_known(run, tmp_path):
    generator = buresgan_jax.load_generator(run)
    z = generator.sample_latent(5, seed=3)
    assert z.shape == (5, generator.latent_dim)
    np.testing.assert_allclose(generator.generate(z), generator.sample(5, seed=3), rtol=1e-4, atol=1e-5)
    assert generator.latent_centers is None
    config = helpers.load_config("ring", "bourgan,smoke")
    helpers.save_random_run(tmp_path, config, steps=(1,))
    assert buresgan_jax.load_generator(tmp_path).latent_centers.shape == (config.latent.num_points, config.latent.dim)
