"""The gradient penalty on the witness function."""

import jax
import numpy as np
import pytest

from buresgan_jax import config
from buresgan_jax.distances import gaussian_kernel, linear_kernel
from buresgan_jax.errors import UserError
from buresgan_jax.penalties import witness_gradient_penalty


@pytest.mark.usefixtures("x64")
def test_of_linear_outputs_and_a_linear_kernel_it_is_that_of_a_linear_function():
    random = np.random.default_rng(0)
    matrix, real, fake = random.normal(size=(3, 2)), random.normal(size=(5, 3)), random.normal(size=(5, 3))
    slope = matrix @ ((real @ matrix).mean(0) - (fake @ matrix).mean(0))

    def penalty(matrix):
        discriminate = lambda x: x @ matrix  # noqa: E731
        outputs = {"real_outputs": discriminate(real), "fake_outputs": discriminate(fake), "kernel": linear_kernel}
        return witness_gradient_penalty(discriminate, real, fake, random.uniform(size=5), **outputs)

    np.testing.assert_allclose(penalty(matrix), (np.linalg.norm(slope) - 1) ** 2, rtol=1e-9)
    assert np.isfinite(jax.grad(penalty)(matrix)).all()


@pytest.mark.usefixtures("x64")
def test_of_a_gaussian_kernel_it_is_that_of_loops():
    random = np.random.default_rng(0)
    matrix, real, fake = random.normal(size=(3, 2)), random.normal(size=(4, 3)), random.normal(size=(4, 3))
    positions = random.uniform(size=4)

    def slope(x):
        total = np.zeros(3)
        for sign, batch in ((1, real), (-1, fake)):
            for each in batch:
                apart = (x - each) @ matrix
                total -= sign / 4 * np.exp(-apart @ apart / 2) * (matrix @ apart)
        return total

    middles = positions[:, None] * real + (1 - positions[:, None]) * fake
    expected = np.mean([(np.linalg.norm(slope(x)) - 1) ** 2 for x in middles])
    outputs = {"real_outputs": real @ matrix, "fake_outputs": fake @ matrix, "kernel": gaussian_kernel}
    found = witness_gradient_penalty(lambda x: x @ matrix, real, fake, positions, **outputs)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_its_kernel_must_be_the_losss_and_batch_norm_is_refused():
    made = config.finish(config.default("mmd_attractive+witness_gradient_penalty"))
    with pytest.raises(UserError, match="gaussian_mixture"):
        config.check(made)
    wide = config.finish(config.default("mmd_repulsive+witness_gradient_penalty"))
    wide.loss.scale = 0.5
    with pytest.raises(UserError, match="width 1"):
        config.check(wide)
    images = config.default("mmd_repulsive+witness_gradient_penalty")
    config.use_images(images, image_size=32, channels=3)
    images.discriminator.name, images.discriminator.use_batch_norm = "dcgan", True
    with pytest.raises(UserError, match="batch norm"):
        config.check(config.finish(images))
    made.witness_gradient_penalty.kernel = "gaussian_mixture"
    config.check(made)
