"""Unrolled GAN, VEEGAN, MDGAN: whole updates against the methods' formulas on plain arrays, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from buresgan_jax import algorithms, latents, losses, networks
from buresgan_jax.algorithms import Batch
from buresgan_jax.algorithms.inference import InferenceOnly

BATCH, LATENT, RATE = 5, 3, 0.125  # a rate that float32 holds exactly: hyperparameters are float32
DESCENT = algorithms.Optimizer(optax.identity(), RATE)
KEY = jax.random.key(7)


@pytest.fixture(autouse=True)
def use_x64(x64):
    """Everything here is float64."""


def make_game(discriminator=networks.MLPDiscriminator(hidden=(4,)), **changes):  # noqa: B008
    generator, latent = networks.MLPGenerator(hidden=(4,)), latents.normal(LATENT)
    game = algorithms.Game(generator, discriminator, latent, losses.non_saturating(), DESCENT, DESCENT)
    return game._replace(**changes)


def start(algorithm):
    """A float64 state and real batches."""
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(2))
    state = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == np.float32 else leaf, state)
    shape = (algorithm.batches_per_update, BATCH, 2)
    return state, np.random.default_rng(0).normal(size=shape)


def batches(*real):
    """The batches of an update."""
    return Batch(np.stack(real), np.zeros((len(real), BATCH), np.int32))


def mlp(params, x, activation=jnp.tanh):
    """A fully connected network by hand; parameters of nested modules are taken in their order."""
    leaves = [leaf for _, leaf in sorted(jax.tree_util.tree_leaves_with_path(params), key=lambda item: str(item[0]))]
    *hidden, (bias, kernel) = [leaves[i : i + 2] for i in range(0, len(leaves), 2)]
    for b, w in hidden:
        x = activation(x @ w + b[None])
    return x @ kernel + bias[None]


def softplus(x):
    return jnp.mean(jnp.log1p(jnp.exp(x)))


def discriminator_loss(params, real, fake):
    return (softplus(-mlp(params, real)) + softplus(mlp(params, fake))) / 2


def descend(loss, *params):
    """Parameters after a step down the gradient of a loss of all of them."""
    gradients = jax.jit(jax.grad(loss, argnums=tuple(range(len(params)))))(*params)
    return jax.tree.map(lambda value, gradient: value - RATE * gradient, params, gradients)


def assert_close(ours, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10), ours, expected)


def draw(key, rows=BATCH):
    return jax.random.normal(key, (rows, LATENT), jnp.float32).astype(float)


# VEEGAN


def test_veegan_descends_the_papers_two_objectives():
    game = make_game(networks.MLPPairDiscriminator(hidden=(4,)))
    algorithm = algorithms.veegan(game, networks.MLPEncoder(LATENT, (4,), nn.relu))
    state, (real,) = start(algorithm)
    new, metrics = jax.jit(algorithm.update)(state, batches(real), KEY)

    z, noise = map(draw, jax.random.split(KEY))
    reconstruct = functools.partial(mlp, activation=lambda x: jnp.maximum(x, 0))
    players = [state.generator, state.auxiliary["reconstructor"], state.discriminator]
    generator, reconstructor, discriminator = (player.params for player in players)

    def for_both(generator, reconstructor):
        fake = mlp(generator, z)
        log_density = jax.scipy.stats.norm.logpdf(z, reconstruct(reconstructor, fake)).sum(axis=1)
        return jnp.mean(mlp(discriminator, jnp.concatenate([z, fake], 1))) - jnp.mean(log_density)

    def for_discriminator(discriminator):
        on_generated = mlp(discriminator, jnp.concatenate([z, mlp(generator, z)], 1))
        on_inferred = mlp(discriminator, jnp.concatenate([reconstruct(reconstructor, real) + noise, real], 1))
        return softplus(-on_generated) + softplus(on_inferred)

    expected = (*descend(for_both, generator, reconstructor), *descend(for_discriminator, discriminator))
    assert_close((new.generator.params, new.auxiliary["reconstructor"].params, new.discriminator.params), expected)
    assert_close(
        metrics["generator_loss"] + metrics["reconstruction_loss"], jax.jit(for_both)(generator, reconstructor)
    )
    assert_close(metrics["discriminator_loss"], jax.jit(for_discriminator)(discriminator))


# MDGAN


def autoencode(encoder, generator, x):
    return mlp(generator, mlp(encoder, x))


@pytest.mark.parametrize("compat", [False, True])
def test_mdgan_v1_moves_discriminator_encoder_and_generator_in_turn(compat):
    algorithm = algorithms.mdgan_v1(make_game(), networks.MLPEncoder(LATENT, (4,)), reference_compat=compat)
    state, (real,) = start(algorithm)
    new, metrics = jax.jit(algorithm.update)(state, batches(real), KEY)

    z = draw(jax.random.split(KEY)[0])
    encoder, generator = state.auxiliary["encoder"].params, state.generator.params

    def regularizer(encoder, generator, discriminator):
        fake = autoencode(encoder, generator, real)
        outputs = mlp(discriminator, fake)
        squared = jnp.mean((real - fake) ** 2)
        return 0.2 * squared * (BATCH if compat else 1) + 0.4 * softplus(outputs if compat else -outputs)

    (discriminator,) = descend(lambda d: discriminator_loss(d, real, mlp(generator, z)), state.discriminator.params)
    (encoder,) = descend(lambda e: regularizer(e, generator, discriminator), encoder)

    def for_generator(generator):
        return softplus(-mlp(discriminator, mlp(generator, z))) + regularizer(encoder, generator, discriminator)

    value = jax.jit(for_generator)(generator)
    (generator,) = descend(for_generator, generator)
    ours = (new.discriminator.params, new.auxiliary["encoder"].params, new.generator.params)
    assert_close(ours, (discriminator, encoder, generator))
    assert_close(metrics["generator_loss"] + 0.2 * metrics["reconstruction"] + 0.4 * metrics["mode"], value)


def test_mdgan_v2_moves_first_along_the_manifold_then_on_it():
    algorithm = algorithms.mdgan_v2(make_game(), networks.MLPEncoder(LATENT, (4,)))
    state, (first, second) = start(algorithm)
    new, metrics = jax.jit(algorithm.update)(state, batches(first, second), KEY)

    z = draw(jax.random.split(jax.random.split(KEY)[1])[0])
    encoder, generator = state.auxiliary["encoder"].params, state.generator.params
    manifold, discriminator = state.auxiliary["manifold_discriminator"].params, state.discriminator.params
    (manifold,) = descend(lambda d: discriminator_loss(d, first, autoencode(encoder, generator, first)), manifold)

    def for_both(encoder, generator):
        fake = autoencode(encoder, generator, first)
        return 0.01 * softplus(-mlp(manifold, fake)) + jnp.mean(jnp.sum((first - fake) ** 2, axis=1))

    value = jax.jit(for_both)(encoder, generator)
    encoder, generator = descend(for_both, encoder, generator)
    target = jax.jit(autoencode)(encoder, generator, second)
    (discriminator,) = descend(lambda d: discriminator_loss(d, target, mlp(generator, z)), discriminator)
    (generator,) = descend(lambda g: softplus(-mlp(discriminator, mlp(g, z))), generator)
    ours = [new.auxiliary["manifold_discriminator"].params, new.auxiliary["encoder"].params]
    assert_close([*ours, new.discriminator.params, new.generator.params], [manifold, encoder, discriminator, generator])
    assert_close(metrics["reconstruction"] + 0.01 * metrics["mode"], value)


# Unrolled GAN


B1, B2, EPS = 0.5, 0.9, 1e-3


def adam(params, gradient, moments, count):
    """One step of Adam by hand, `(params, moments)`."""
    first, second = (
        jax.tree.map(lambda m, g, power=power, decay=decay: decay * m + (1 - decay) * g**power, m, gradient)
        for m, power, decay in zip(moments, (1, 2), (B1, B2), strict=True)
    )
    step = lambda p, m, v: p - RATE * m / (1 - B1**count) / (jnp.sqrt(v / (1 - B2**count)) + EPS)  # noqa: E731
    return jax.tree.map(step, params, first, second), (first, second)


@functools.cache
def unrolled(**options):
    """Unrolled GAN of two updates, a state, real batches and the compiled update."""
    optimizer = algorithms.Optimizer(optax.scale_by_adam(B1, B2, EPS, 1e-30), RATE)
    game = make_game(discriminator_optimizer=optimizer)
    algorithm = algorithms.unrolled(game, unrolled_steps=2, **options)
    return *start(algorithm), jax.jit(algorithm.update)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def unroll(generator, params, real, first_order):
    """The generator's loss after two discriminator updates, and the discriminator after the first, by hand."""
    keys = jax.random.split(KEY, 3)
    moments, kept = (jax.tree.map(jnp.zeros_like, params),) * 2, None
    for count in (1, 2):
        fake = mlp(generator, draw(jax.random.split(keys[count - 1])[0]))
        gradient = jax.grad(discriminator_loss)(params, real[count - 1], fake)
        params, moments = adam(params, gradient, moments, count)
        kept = params if kept is None else kept
    params = jax.tree.map(lambda leaf: jnp.where(first_order, jax.lax.stop_gradient(leaf), leaf), params)
    fake = mlp(generator, draw(jax.random.split(keys[2])[0]))
    return softplus(-mlp(params, fake)), kept


@pytest.mark.parametrize("first_order", [False, True])
def test_unrolled_gradient_goes_through_the_discriminators_updates(first_order):
    state, real, update = unrolled(first_order=first_order)
    new, metrics = update(state, batches(*real), KEY)
    old, fixed = state.generator.params, (state.discriminator.params, real, first_order)
    (value, kept), gradient = unroll(old, *fixed)
    expected = jax.tree.map(lambda value, slope: value - RATE * slope, old, gradient)
    assert_close((new.generator.params, new.discriminator.params), (expected, kept))
    assert_close(metrics["generator_loss"], value)
    assert optax.tree.get(new.discriminator.opt_state, "count") == 1
    if not first_order:  # against differences of the loss alone
        moved = [jax.tree.map(lambda leaf, h=h: leaf + h, old) for h in (1e-5, -1e-5)]
        slope = np.subtract(*(unroll(params, *fixed)[0][0] for params in moved)) / 2e-5
        np.testing.assert_allclose(sum(np.sum(leaf) for leaf in jax.tree.leaves(gradient)), slope, rtol=1e-5)


def test_unrolled_as_the_authors_has_one_count_and_moments_of_the_surrogate():
    state, real, update = unrolled(reference_compat=True)
    once, _ = update(state, batches(*real), KEY)
    twice, _ = update(once, batches(*real), KEY)
    counts = [int(optax.tree.get(each.discriminator.opt_state, "count")) for each in (once, twice)]
    assert counts == [2, 4]
    stale, moments = (optax.tree.get(each, "mu") for each in (*once.buffers.values(), once.discriminator.opt_state))
    leaves = zip(jax.tree.leaves(stale), jax.tree.leaves(moments), strict=True)
    assert all(np.abs(a - b).max() > 0 for a, b in leaves)


def test_a_gradient_of_zero_does_not_make_the_unrolled_one_nan():
    state, real, update = unrolled(first_order=False)
    zeros = jax.tree.map(jnp.zeros_like, state.discriminator.params)  # all but the last bias have no gradient
    state = state.replace(discriminator=state.discriminator.replace(params=zeros))
    new, _ = update(state, batches(*real), KEY)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(new.generator.params))


# The authors' forgotten train flags


def test_a_module_in_inference_mode_uses_and_keeps_its_moving_statistics():
    class Normalized(nn.Module):
        @nn.compact
        def __call__(self, x, *, train):
            return networks.BatchNorm(train=train)(x)

    module, x = Normalized(), np.random.default_rng(0).normal(3, 2, (BATCH, 2))
    variables = module.init(jax.random.key(0), x, train=True)
    frozen, kept = InferenceOnly(module).apply(variables, x, train=True, mutable=["batch_stats"])
    _, changed = module.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(frozen, x / np.sqrt(1 + 1e-3))
    assert_close(kept["batch_stats"], variables["batch_stats"])
    assert np.abs(changed["batch_stats"]["BatchNorm_0"]["mean"]).min() > 0
