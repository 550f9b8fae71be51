"""R1 and R2: closed forms, second derivatives in every kind of network, and the games that they make stable."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from helpers import load_config

from buresgan_jax import algorithms, builders, config, losses, ops
from buresgan_jax.algorithms import Batch, moves
from buresgan_jax.errors import UserError
from buresgan_jax.penalties import zero_centered_gradient_penalty


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.usefixtures("x64")
def test_of_a_linear_discriminator_it_is_the_squared_norm_of_its_weights():
    weights = numbers(0, 12)
    for samples in (numbers(1, 5, 12), numbers(2, 5, 2, 2, 3)):
        penalty = zero_centered_gradient_penalty(lambda x: x.reshape(len(x), -1) @ weights[:, None], samples)
        np.testing.assert_allclose(penalty, weights @ weights, rtol=1e-14)
    packs = zero_centered_gradient_penalty(lambda x: x.reshape(2, 12) @ weights[:, None], numbers(3, 4, 6))
    np.testing.assert_allclose(packs, weights @ weights, rtol=1e-14)


@pytest.mark.usefixtures("x64")
def test_of_a_quadratic_by_hand_in_any_order_and_finite_where_the_gradient_is_zero():
    matrix, samples = numbers(0, 3, 3), numbers(1, 7, 3)

    def penalty(matrix, samples):
        return zero_centered_gradient_penalty(lambda x: jnp.sum((x @ matrix) * x, 1, keepdims=True), samples)

    expected = np.mean(np.sum((samples @ (matrix + matrix.T)) ** 2, axis=1))
    np.testing.assert_allclose(penalty(matrix, samples), expected, rtol=1e-13)
    np.testing.assert_allclose(penalty(matrix, samples[::-1]), expected, rtol=1e-13)
    np.testing.assert_array_equal(jax.grad(penalty)(np.zeros((3, 3)), samples), np.zeros((3, 3)))


@pytest.mark.usefixtures("x64")
def test_its_gradient_is_the_same_through_every_form_of_a_convolution():
    kernel, samples = numbers(0, 3, 3, 2, 4), numbers(1, 3, 6, 6, 2)

    def penalty(kernel, form, stride):
        def discriminate(x):
            features = jnp.tanh(ops.conv2d(x, kernel, strides=(stride, stride), implementation=form))
            return jnp.sum(features, axis=(1, 2, 3))[:, None]

        return zero_centered_gradient_penalty(discriminate, samples)

    gradient = jax.jit(jax.grad(penalty), static_argnums=(1, 2))
    for stride, forms in ((1, ("direct", "product", "spectra")), (2, ("direct", "product", "phases"))):
        plain = gradient(kernel, "plain", stride)
        for form in forms:
            np.testing.assert_allclose(gradient(kernel, form, stride), plain, rtol=1e-9, atol=1e-12, err_msg=form)


def test_batch_norm_is_refused():
    for term in ("r1", "r2"):
        with pytest.raises(UserError, match=f"The term {term} needs a gradient per sample"):
            config.check(load_config("cifar", f"gan+{term}"))


# In a game

GAMMAS = {"r1_weight": 0.7, "r2_weight": 1.3}


def tiny_game(network="mlp", size=None):
    """The method's game on points, or on images of this size."""
    tiny = config.default("pairing,smoke")
    if size is not None:
        tiny.data.name, tiny.data.image_size, tiny.data.channels = "mnist", size, 1
        tiny.generator.name, tiny.discriminator.name = "dcgan", network
    tiny = config.finish(tiny)
    tiny.discriminator.base_filters = 16  # enough for a CPU's convolutions by phases
    return builders.game(tiny, None)


def start(game, shape, n=6):
    """A state, a batch and z in float64."""
    state = jax.jit(algorithms.gan(game).init)(jax.random.key(0), np.zeros(shape, np.float32))
    state = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == jnp.float32 else leaf, state)
    state = state.replace(hyperparameters=state.hyperparameters | GAMMAS)
    batch = Batch(jnp.asarray(np.tanh(numbers(4, n, *shape))), jnp.arange(n))
    return state, batch, jnp.asarray(numbers(5, n, game.latent.dim))


def gradient_of(game):
    """`(state, batch, z) -> (gradient of the discriminator's objective, metrics)`, compiled."""

    def discriminator_gradient(state, batch, z):
        outputs, pullback, _ = moves.forward(game, state, batch, z, jax.random.key(0))
        return moves.discriminator_gradient(game, state, outputs, pullback, jax.random.key(1))

    return jax.jit(discriminator_gradient)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("network", "size"), [("mlp", None), ("dcgan", 16), pytest.param("resnet", 32, marks=pytest.mark.slow)]
)
def test_the_gradient_of_the_discriminators_objective_equals_finite_differences(network, size):
    game, shape = tiny_game(network, size), (2,) if size is None else (size, size, 1)
    (state, batch, z), compute = start(game, shape), gradient_of(game)
    params, eps = state.discriminator.params, 1e-7  # larger steps cross kinks, where R1 of ReLUs jumps
    direction = jax.tree.map(lambda leaf: jnp.asarray(numbers(leaf.size, *leaf.shape)), params)

    def gradient_at(distance):
        moved = jax.tree.map(lambda leaf, along: leaf + distance * along, params, direction)
        network = state.discriminator.replace(params=moved)
        gradient, metrics = compute(state.replace(discriminator=network), batch, z)
        penalties = 0.7 / 2 * metrics["r1"] + 1.3 / 2 * metrics["r2"]
        return optax.tree.vdot(gradient, direction), metrics["discriminator_loss"] + penalties, penalties

    (slope, _, _), (_, above, more), (_, below, less) = map(gradient_at, (0.0, eps, -eps))
    np.testing.assert_allclose(slope, (above - below) / (2 * eps), rtol=1e-6)
    assert abs(more - less) / (2 * eps) > 1e-3 * abs(slope)  # the penalties have a part in it


@pytest.mark.usefixtures("x64")
def test_the_order_of_the_fakes_changes_the_losses_alone():
    game = tiny_game()
    (state, batch, z), compute = start(game, (2,)), gradient_of(game)
    _, metrics = compute(state, batch, z)
    _, other = compute(state, batch, z[::-1])
    np.testing.assert_allclose([other["r1"], other["r2"]], [metrics["r1"], metrics["r2"]], rtol=1e-12)
    assert abs(other["discriminator_loss"] - metrics["discriminator_loss"]) > 1e-6


class Linear(nn.Module):
    """`D(x) = w x`."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        outputs = nn.Dense(1, use_bias=False, name="dense")(x.reshape(len(x), -1))
        return outputs, outputs, {}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("contrast", [1.0, 0.3])
def test_both_are_the_squared_weights_of_a_linear_network_and_see_what_it_is_shown(contrast):
    game = tiny_game()._replace(discriminator=Linear(), show=lambda z, x, key: contrast * x)
    state, batch, z = start(game, (2,))
    gradient, metrics = gradient_of(game)(state, batch, z)
    weights = state.discriminator.params["dense"]["kernel"]
    squares = contrast**2 * np.sum(np.square(weights))
    np.testing.assert_allclose([metrics["r1"], metrics["r2"]], [squares, squares], rtol=1e-12)
    # Both terms add gamma / 2 of that.
    plain, _ = gradient_of(game._replace(discriminator_terms=()))(state, batch, z)
    added = gradient["dense"]["kernel"] - plain["dense"]["kernel"]
    np.testing.assert_allclose(added, (0.7 + 1.3) * contrast**2 * weights, rtol=1e-9)


# The Dirac GAN: real examples at 0, fakes at theta, D(x) = psi x


def flow(point, gammas):
    """Velocities of theta and psi, each down its own objective."""
    theta, psi = point
    real, loss = jnp.zeros((1, 1)), losses.pairing()

    def discriminator_objective(psi):
        fake = theta.reshape(1, 1)
        value = loss.discriminator(psi * real, psi * fake)
        for gamma, samples in zip(gammas, (real, fake), strict=True):
            value += gamma / 2 * zero_centered_gradient_penalty(lambda x: psi * x, samples)
        return value

    generator = jax.grad(lambda theta: loss.generator(psi * real, psi * theta.reshape(1, 1)))
    return -jnp.stack([generator(theta), jax.grad(discriminator_objective)(psi)])


def radius_after(time, gammas, start, steps=2_000):
    """Distance from the equilibrium, by Runge and Kutta's method of order 4."""
    step = time / steps

    def advance(point, _):
        k1 = flow(point, gammas)
        k2 = flow(point + step / 2 * k1, gammas)
        k3 = flow(point + step / 2 * k2, gammas)
        k4 = flow(point + step * k3, gammas)
        return point + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jnp.linalg.norm(jax.jit(lambda start: jax.lax.scan(advance, start, length=steps)[0])(start))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("gammas", [(0.0, 0.0), (0.5, 0.0), (0.0, 1.0), (1.0, 1.0), (0.1, 0.3)])
def test_the_dirac_gan_converges_at_the_rates_of_the_linear_flow(gammas):
    gamma = sum(gammas)
    root = np.emath.sqrt(gamma**2 / 4 - 0.25)
    expected = np.array([-gamma / 2 - root, -gamma / 2 + root])
    rates = np.linalg.eigvals(jax.jacobian(lambda point: flow(point, gammas))(jnp.zeros(2)))
    np.testing.assert_allclose(np.sort_complex(rates), np.sort_complex(expected), atol=1e-7)
    if gamma == 1:  # a double eigenvalue has no pure exponential
        return
    # Whole half turns of a spiral, or long enough for the slower of two exponentials.
    begin, time = (0.0, 2 * np.pi / abs(root)) if gamma < 1 else (15.0, 15.0)
    first, last = (radius_after(each, gammas, jnp.array([1e-3, 0.0])) for each in (begin, begin + time))
    np.testing.assert_allclose(np.log(last / first) / time, expected[1].real, rtol=1e-2, atol=1e-6)
