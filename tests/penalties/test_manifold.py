"""DLLE and DIsoMap: what they are zero for, and where their gradients go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import builders, config
from buresgan_jax.algorithms import Batch, moves
from buresgan_jax.penalties import disomap_penalty, dlle_penalty


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_dlle_is_a_mean_square_whose_view_gets_no_gradient():
    outputs, view = numbers(0, 5, 3), numbers(1, 5, 3)
    assert dlle_penalty(outputs, view) == pytest.approx(np.mean((outputs - view) ** 2), rel=1e-6)
    to_outputs, to_view = jax.grad(dlle_penalty, argnums=(0, 1))(outputs, view)
    np.testing.assert_allclose(to_outputs, 2 * (outputs - view) / 15, rtol=1e-6)
    np.testing.assert_array_equal(to_view, 0)


def test_disomap_is_zero_for_an_affine_discriminator_and_the_target_gets_no_gradient():
    weights, offset, real, fake = numbers(0, 4, 3), numbers(1, 1, 3), numbers(2, 6, 4), numbers(3, 6, 4)
    positions = 3 * numbers(4, 6)  # beyond [0, 1] too
    affine = lambda x: x @ weights + offset  # noqa: E731
    mixed = positions[:, None] * real + (1 - positions[:, None]) * fake
    outputs = [affine(x) for x in (mixed, real, fake)]
    assert disomap_penalty(*outputs, positions) < 1e-10
    noise = 0.05 * numbers(5, 6, 3)
    assert disomap_penalty(*outputs, positions, noise) == pytest.approx(np.mean(noise**2), rel=1e-3)
    gradients = jax.grad(disomap_penalty, argnums=(0, 1, 2))(*outputs, positions, noise)
    assert np.any(gradients[0])
    np.testing.assert_array_equal(gradients[1:], np.zeros((2, 6, 3)))


def terms_of(method, data="ring", **settings):
    """Values of the discriminator's terms, and their gradients, for a tiny discriminator."""
    tiny = config.default(f"{method},smoke")
    tiny.data.name = data
    if data != "ring":
        tiny.data.image_size, tiny.data.channels = 16, 1
        tiny.generator.name = tiny.discriminator.name = "dcgan"
        tiny.discriminator.use_batch_norm = False
    tiny = config.finish(tiny)
    tiny.update_from_flattened_dict(settings)
    game, shape = builders.game(tiny, None), builders.describe(tiny).example_shape
    state = jax.jit(builders.algorithm(tiny).init)(jax.random.key(0), np.zeros(shape, np.float32))
    batch = Batch(numbers(0, 8, *shape), np.zeros(8, np.int32))
    outputs, pullback, _ = moves.forward(game, state, batch, numbers(1, 8, 4), jax.random.key(1))
    gradient, metrics = jax.jit(
        lambda: moves.discriminator_gradient(game, state, outputs, pullback, jax.random.key(2))
    )()
    return metrics, gradient


@pytest.mark.parametrize("method", ["gan+dlle+disomap", "wgan_gp+dlle+disomap"])
def test_both_terms_fit_other_methods(method):
    metrics, gradient = terms_of(method)
    assert 0 <= metrics["dlle"] < 1e-3  # views are near, outputs are not drawn
    assert metrics["disomap"] > 0.05**2 / 10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_views_of_images_are_mirrored_and_packs_have_one_position():
    flat, _ = terms_of("gan+dlle", "mnist")
    assert flat["dlle"] > 1e-5
    packed, _ = terms_of("gan+dlle+disomap", "mnist", **{"discriminator.pack": 2, "disomap.mixing": "convex"})
    assert packed["disomap"] > 0
    assert jnp.isfinite(packed["dlle"])
