"""f-GAN losses against the losses of the original GAN, closed gradients, and class priors."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import make_config
from scipy.special import expit

from buresgan_jax import builders, divergences, losses
from buresgan_jax.algorithms import Batch
from buresgan_jax.divergences import DIVERGENCES
from buresgan_jax.errors import UserError

REAL, FAKE = np.array([[1.5], [-0.5], [0.2]]), np.array([[0.25], [2.0], [-1.0]])


def value_of(function, *arguments):
    result = function(*arguments)
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.usefixtures("x64")
def test_the_default_is_the_non_saturating_loss_up_to_scale():
    found, expected = losses.f_gan(), losses.non_saturating()
    critic = value_of(found.discriminator, REAL, FAKE)
    np.testing.assert_allclose(critic, 4 * expected.discriminator(REAL, FAKE) - 4 * math.log(2), rtol=1e-12)
    generator = value_of(found.generator, REAL, FAKE)
    np.testing.assert_allclose(generator, 2 * expected.generator(REAL, FAKE) - 2 * math.log(2), rtol=1e-12)
    for factor, name in ((4, "discriminator"), (2, "generator")):
        slope = jax.grad(lambda fake, name=name: value_of(getattr(found, name), REAL, fake))(FAKE)
        exact = jax.grad(lambda fake, name=name: getattr(expected, name)(REAL, fake))(FAKE)
        np.testing.assert_allclose(slope, factor * exact, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_jensen_shannon_for_both_is_the_saturating_game():
    found = losses.f_gan(generator="jensen_shannon")
    generator = value_of(found.generator, REAL, FAKE)
    np.testing.assert_allclose(generator, 2 * np.log(1 - expit(FAKE)).mean() + 2 * math.log(2), rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", [*DIVERGENCES, "power"])
def test_each_pair_of_scores_reaches_the_losses(name):
    divergence = DIVERGENCES.get(name) or divergences.power(1.3)
    loss = losses.f_gan(critic=name, generator=name, critic_exponent=1.3, generator_exponent=1.3)
    expected = -2 * (0.5 * divergence.real_score(REAL).mean() - 0.5 * divergence.fake_score(FAKE).mean())
    np.testing.assert_allclose(value_of(loss.discriminator, REAL, FAKE), expected, rtol=1e-12)
    np.testing.assert_allclose(value_of(loss.generator, REAL, FAKE), -divergence.fake_score(FAKE).mean(), rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("critic", ["jensen_shannon", "kl", "softened_kl"])
def test_a_class_prior_shifts_the_optimal_logit_and_is_corrected(critic):
    """A critic of two free logits, where the data have the densities p and the samples q."""
    p, q, share = np.array([0.7, 0.3]), np.array([0.4, 0.6]), 0.8
    loss = losses.f_gan(critic=critic, real_share=share)
    draws = {0: jnp.repeat(jnp.arange(2), jnp.array([7, 3])), 1: jnp.repeat(jnp.arange(2), jnp.array([4, 6]))}

    def objective(logits):
        return value_of(loss.discriminator, logits[draws[0]][:, None], logits[draws[1]][:, None])

    logits = jnp.zeros(2)
    for _ in range(30):
        logits -= jnp.linalg.solve(jax.hessian(objective)(logits), jax.grad(objective)(logits))
    np.testing.assert_allclose(logits, np.log(p / q) + math.log(share / (1 - share)), rtol=1e-6)
    np.testing.assert_allclose(loss.log_ratio(logits), np.log(p / q), rtol=1e-6)
    weight = -jax.grad(lambda fake: value_of(loss.generator, REAL, fake))(logits[:, None])[:, 0] * 2
    np.testing.assert_allclose(weight, DIVERGENCES["softened_reverse_kl"].weight(np.log(p / q)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("size", [80, 1e4])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_values_and_gradients_are_finite_for_extreme_logits(name, size, dtype):
    loss = losses.f_gan(critic=name, generator=name)
    real, fake = jnp.array([[-size], [size]], dtype), jnp.array([[size], [-size]], dtype)
    for function in (loss.discriminator, loss.generator):
        (value, _), slopes = jax.jit(jax.value_and_grad(function, argnums=(0, 1), has_aux=True))(real, fake)
        assert np.isfinite(value)
        assert value.dtype == jnp.float32
        assert all(np.isfinite(slope).all() and slope.dtype == dtype for slope in slopes)


def test_samples_beyond_the_clip_are_counted():
    real, fake = jnp.array([[0.0], [1.0], [-40.0], [40.0]]), jnp.array([[31.0], [-31.0], [0.0], [1.0]])
    loss = losses.f_gan(critic="kl", generator="pearson")
    assert loss.discriminator(real, fake)[1]["discriminator_clipped_share"] == 0.25  # of the right side alone
    assert loss.generator(real, fake)[1]["generator_clipped_share"] == 0.25
    tight = losses.f_gan(critic="kl", generator="pearson", clip=0.5)
    assert tight.generator(real, fake)[1]["generator_clipped_share"] == 0.5
    default = losses.f_gan(clip=0.5)  # the clip is of exponential scores alone
    assert default.generator(real, fake)[1]["generator_clipped_share"] == 0


@pytest.mark.usefixtures("x64")
def test_clipped_samples_move_along_the_tangent_unless_they_are_right_already():
    def slopes(name, player, argument):
        function = getattr(losses.f_gan(critic=name, generator=name, clip=2.0), player)
        logits = jnp.array([[-6.0], [6.0]])
        return 2 * jax.grad(lambda x: function(*((x, FAKE) if argument == 0 else (REAL, x)))[0])(logits)[:, 0]

    kl, neyman = DIVERGENCES["kl"], DIVERGENCES["neyman"]
    np.testing.assert_allclose(slopes("kl", "generator", 1), -kl.weight(jnp.array([-6.0, 2.0])), rtol=1e-9)
    np.testing.assert_allclose(slopes("neyman", "generator", 1), -neyman.weight(jnp.array([-2.0, 6.0])), rtol=1e-9)
    np.testing.assert_allclose(slopes("kl", "discriminator", 1), kl.weight(jnp.array([-6.0, 2.0])), rtol=1e-9)
    np.testing.assert_allclose(slopes("kl", "discriminator", 0), [-1, 0], rtol=1e-9)
    np.testing.assert_allclose(slopes("neyman", "discriminator", 1), [0, np.exp(-6)], rtol=1e-9)
    np.testing.assert_allclose(slopes("neyman", "discriminator", 0), [-np.exp(4), -np.exp(-12)], rtol=1e-9)


def test_shares_clips_and_names_that_are_none_are_refused():
    with pytest.raises(ValueError, match="real_share must be above 0 and below 1, got 1"):
        losses.f_gan(real_share=1.0)
    with pytest.raises(ValueError, match="clip must be above 0, got -1"):
        losses.f_gan(clip=-1.0)
    with pytest.raises(UserError, match="Unknown divergence 'klx'. Did you mean 'kl'"):
        losses.f_gan(critic="klx")


def test_it_combines_with_a_term():
    config = make_config("f_gan+bures", loss__generator="kl")
    algorithm = builders.algorithm(config)
    state = algorithm.init(jax.random.key(0), np.zeros(2, np.float32))
    batch = Batch(np.ones((1, 8, 2), np.float32), np.zeros((1, 8), np.int32))
    _, metrics = jax.jit(algorithm.update)(state, batch, jax.random.key(1))
    assert {"bures", "generator_clipped_share", "discriminator_clipped_share"} <= metrics.keys()


@pytest.mark.usefixtures("x64")
def test_a_network_trained_by_the_non_saturating_loss_follows_half_the_softened_reverse_kl():
    """Of a monotone network G(z), whose density at G(z) is that of z over G'(z), with its optimal discriminator."""
    z, step = jnp.linspace(-9, 9, 6_001, retstep=True)
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"scale": jnp.float64(-0.2), "width": jax.random.normal(keys[0], (5,)) / 2 - 1}
    params |= {"slope": jax.random.normal(keys[1], (5,)) / 2, "bias": jax.random.normal(keys[2], (5,))}

    def generate(params, z):
        bumps = jnp.exp(params["width"]) * jnp.tanh(jnp.exp(params["slope"]) * z + params["bias"])
        return jnp.exp(params["scale"]) * z + jnp.sum(bumps)

    def log_normal(x):
        return -(x**2) / 2 - math.log(2 * math.pi) / 2

    def log_p(x):
        return jnp.logaddexp(log_normal((x + 1) / 0.8), log_normal((x - 2) / 0.8)) - math.log(1.6)

    def log_q(params, z):
        return log_normal(z) - jnp.log(jax.grad(generate, argnums=1)(params, z))

    def divergence(params):
        x, density = jax.vmap(lambda z: generate(params, z))(z), jnp.exp(log_normal(z))
        d = log_p(x) - jax.vmap(lambda z: log_q(params, z))(z)
        return step * jnp.sum(density * DIVERGENCES["softened_reverse_kl"].of_logits(d))

    x = jax.vmap(lambda z: generate(params, z))(z)
    logits = log_p(x) - jax.vmap(lambda z: log_q(params, z))(z)
    slope_of_q = jax.vmap(jax.grad(log_q, argnums=1), (None, 0))(params, z)
    slopes = jax.vmap(jax.grad(log_p))(x) - slope_of_q / jax.vmap(jax.grad(generate, argnums=1), (None, 0))(params, z)

    def loss(params):
        moved = logits + slopes * (jax.vmap(lambda z: generate(params, z))(z) - x)
        return step * jnp.sum(jnp.exp(log_normal(z)) * jax.nn.softplus(-moved))

    found, expected = jax.grad(loss)(params), jax.grad(divergence)(params)
    for name in params:
        np.testing.assert_allclose(found[name], expected[name] / 2, rtol=1e-5, atol=1e-9)
