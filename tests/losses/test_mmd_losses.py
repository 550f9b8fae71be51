"""Losses of MMD-GANs: identities of the family, bounds, and the game that they make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import losses
from buresgan_jax.distances import linear_kernel, mean_kernel, squared_mmd

REPULSIONS = (-1.0, 0.0, 1.0, 2.0)


def outputs(n=6, dim=4):
    random = np.random.default_rng(0)
    return random.normal(size=(n, dim)), 0.5 * random.normal(size=(n, dim))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("repulsion", REPULSIONS)
def test_the_family_is_that_of_the_authors_code(repulsion):
    real, fake = outputs()
    # There: w0 E_xy - E_yy - w1 E_xx with w0 - w1 = 1.
    w0, w1 = 1 - repulsion, -repulsion
    expected = w0 * mean_kernel(real, fake) - mean_kernel(fake) - w1 * mean_kernel(real)
    loss = losses.mmd(repulsion=repulsion)
    np.testing.assert_allclose(loss.discriminator(real, fake), expected, rtol=1e-12)
    value, means = loss.generator(real, fake)
    np.testing.assert_allclose(value, squared_mmd(real, fake), rtol=1e-12)
    np.testing.assert_allclose(means["cross_kernel"], mean_kernel(real, fake), rtol=1e-12)
    # All weights add up to 0: a discriminator that sees no difference has a loss of 0.
    np.testing.assert_allclose(loss.discriminator(jnp.ones((5, 2)), jnp.ones((5, 2))), 0, atol=1e-12)


def test_the_attractive_loss_is_minus_the_generators():
    real, fake = outputs()
    loss = losses.mmd(repulsion=-1.0, kernel="gaussian_mixture")
    np.testing.assert_allclose(loss.discriminator(real, fake), -loss.generator(real, fake)[0], rtol=1e-5)
    assert all(0 < mean < 1 for mean in loss.generator(real, fake)[1].values())


@pytest.mark.usefixtures("x64")
def test_a_linear_kernel_compares_means():
    real, fake = outputs()
    loss = losses.mmd(kernel="linear", estimator="biased")
    squares = [np.sum(each.mean(0) ** 2) for each in (real, fake)]
    np.testing.assert_allclose(loss.discriminator(real, fake), squares[0] - squares[1], rtol=1e-12)
    gap = np.sum((real.mean(0) - fake.mean(0)) ** 2)
    np.testing.assert_allclose(loss.generator(real, fake)[0], gap, rtol=1e-12)
    assert mean_kernel(real, real, kernel=linear_kernel) == pytest.approx(squares[0])


def at_distance(squared):
    return jnp.array([[0.0, 0.0], [squared**0.5, 0.0]])


@pytest.mark.parametrize(
    ("repulsion", "squared", "moves"),
    [
        (1.0, 0.2, {"real"}),  # below both bounds: fakes attract no more
        (1.0, 1.0, {"real", "fake"}),
        (1.0, 4.5, {"fake"}),  # beyond both: real outputs repel no more
        (-1.0, 0.2, set()),  # both kinds attract their own
        (-1.0, 4.5, {"real", "fake"}),
    ],
)
def test_pairs_beyond_a_bound_have_no_gradient(repulsion, squared, moves):
    loss = losses.mmd(repulsion=repulsion, bounded=True)
    pair = at_distance(squared)
    far = pair + 100  # the other kind, out of reach
    for name, place in (("real", 0), ("fake", 1)):
        arguments = (pair, far) if place == 0 else (far, pair)
        gradient = jax.grad(loss.discriminator, argnums=place)(*arguments)
        assert bool(np.abs(gradient).max() > 0) == (name in moves), name
    np.testing.assert_array_equal(loss.generator(pair, far)[0], losses.mmd().generator(pair, far)[0])


def test_invalid_choices_are_explained():
    with pytest.raises(ValueError, match="lower_bound"):
        losses.mmd(bounded=True, lower_bound=5.0)
    with pytest.raises(ValueError, match="bounded=False"):
        losses.mmd(bounded=True, kernel="linear")


# A game of two parameters: data at 0, fakes at theta, outputs phi * x.


def field(repulsion):
    loss = losses.mmd(repulsion=repulsion, estimator="biased")

    def of(parameters):
        def value(player, theta, phi):
            real, fake = jnp.zeros((2, 1)), jnp.full((2, 1), theta)
            result = getattr(loss, player)(phi * real, phi * fake)
            return result[0] if isinstance(result, tuple) else result

        by_generator = jax.grad(value, argnums=1)("generator", *parameters)
        return -jnp.stack([by_generator, jax.grad(value, argnums=2)("discriminator", *parameters)])

    return jax.jit(of)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("repulsion", REPULSIONS)
def test_the_linearized_game_does_not_rotate(repulsion):
    for phi in (0.5, 2.0):
        jacobian = jax.jacfwd(field(repulsion))(jnp.array([0.0, phi]))
        np.testing.assert_allclose(jacobian[0, 1], 0, atol=1e-12)
        np.testing.assert_allclose(sorted(np.linalg.eigvals(jacobian)), [-2 * phi**2, 0], atol=1e-9)


def test_the_repulsive_game_converges_where_the_attractive_one_oscillates():
    def play(repulsion, learning_rate=0.5, steps=2000):
        step = lambda parameters, _: (parameters + learning_rate * field(repulsion)(parameters),) * 2  # noqa: E731
        return jax.lax.scan(step, jnp.array([1.5, 1.0]), length=steps)[1]

    repulsive, attractive = play(1.0), play(-1.0)
    assert abs(repulsive[-1, 0]) < 1e-6
    assert np.abs(attractive[-100:, 0]).max() > 0.1  # phi has grown until the generator's steps are too long
