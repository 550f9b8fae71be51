"""Scaled MMD-GAN."""

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax import builders, config
from buresgan_jax.algorithms import Batch


def test_the_discriminators_loss_is_divided_by_the_size_of_its_gradients():
    made = config.finish(config.default("mmd_repulsive+scaled,smoke"))
    algorithm = builders.algorithm(made)
    real = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    state = jax.jit(algorithm.init)(jax.random.key(0), real[0])
    batch = Batch(jnp.asarray(real)[None], jnp.arange(8)[None])
    new, metrics = jax.jit(algorithm.update)(state, batch, jax.random.key(1))
    assert new.step == 1

    network = state.discriminator
    module = builders.game(made, None).discriminator
    variables = {"params": network.params, **network.collections}
    jacobians = jax.vmap(jax.jacrev(lambda x: module.apply(variables, x[None], train=False)[0][0]))(real)
    size = np.mean(np.sum(np.square(jacobians), axis=(1, 2)))
    np.testing.assert_allclose(metrics["jacobian"], size, rtol=1e-4)
    plain = metrics["discriminator_loss"]
    assert size > 1e-3
    np.testing.assert_allclose(metrics["scale"], plain * (1 / (1 + 0.1 * size) - 1), rtol=1e-4, atol=1e-7)
