"""The gradient penalty on the witness function."""

import jax
import numpy as np
import pytest

from buresgan_jax import config
from buresgan_jax.distances import linear_kernel
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


def test_its_kernel_must_be_the_losss_and_batch_norm_is_refused():
    made = config.finish(config.default("mmd_attractive+witness_gradient_penalty"))
    with pytest.raises(UserError, match="gaussian_mixture"):
        config.check(made)
    made.witness_gradient_penalty.kernel = "gaussian_mixture"
    config.check(made)
