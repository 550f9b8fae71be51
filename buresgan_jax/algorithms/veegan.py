"""VEEGAN: a reconstructor maps samples back to z, and the discriminator judges pairs."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax.algorithms import moves as moves
from buresgan_jax.algorithms.gan import make_algorithm
from buresgan_jax.algorithms.protocol import Algorithm, Auxiliary, Game


def veegan(game: Game, reconstructor: nn.Module) -> Algorithm:
    """All three networks move at once; the losses are the method's own, and there are no penalties.

    The discriminator tells pairs (z, G(z)), label 1, from pairs (F(x), x), label 0. The generator minimizes its output
    on the former; generator and reconstructor maximize the likelihood of z under F(G(z)).

    Args:
        game: networks, latent, optimizers; its discriminator judges pairs (z, samples). The reconstructor has the
            generator's optimizer, with a state of its own.
        reconstructor: Linen module, `(samples, *, train) -> mean of z`; F is the normal distribution around it with
            unit variance.

    References:
        Srivastava et al., "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning", NeurIPS 2017.
        https://arxiv.org/abs/1705.07761.
    """
    game = game._replace(auxiliary=(Auxiliary("reconstructor", reconstructor, game.generator_optimizer),))

    def update(state, real, key):
        z_key, noise_key = jax.random.split(key)
        z = moves.sample_latent(game, state, z_key, real.shape[1])
        noise = jax.random.normal(noise_key, (z.shape[0] * moves.axis_size(game), z.shape[1]), z.dtype)
        networks = (state.generator, state.auxiliary["reconstructor"], state.discriminator)
        losses = partial(_losses, game, reconstructor, networks, real[0], z, moves.share(game, noise))
        objectives, pullback, (batch_stats, terms) = jax.vjp(losses, *(each.params for each in networks), has_aux=True)
        zero, one = (jnp.full_like(objectives[0], value) for value in (0, 1))
        for_generator, for_reconstructor, _ = pullback((one, zero))
        _, _, for_discriminator = pullback((zero, one))
        gradients = moves.mean_over_devices(game, (for_generator, for_reconstructor, for_discriminator))
        state = moves.step_generator(game, state, gradients[0], batch_stats[0])
        state = moves.step_auxiliary(game, state, "reconstructor", gradients[1], batch_stats[1])
        state = moves.step_discriminator(game, state, gradients[2], batch_stats[2])
        return moves.finish_step(game, state), moves.mean_over_devices(game, terms)

    algorithm = make_algorithm(game, update, batches_per_update=1)
    return algorithm._replace(init=partial(moves.init, game, judged=lambda z, x: (z, x)))


def _losses(game, reconstructor, networks, real, z, noise, *params):
    """Objectives (generator and reconstructor, discriminator), then the new batch statistics and the terms by name."""
    generate, reconstruct, judge = (
        partial(moves.apply_train, module, each)
        for module, each in zip((game.generator, reconstructor, game.discriminator), params, strict=True)
    )
    generator_stats, reconstructor_stats, stats = (each.batch_stats for each in networks)
    fake, generator_stats = generate(generator_stats, z)
    mean, reconstructor_stats = reconstruct(reconstructor_stats, real)
    inferred = jax.lax.stop_gradient(mean) + noise  # only the discriminator learns from these pairs
    reconstructed, reconstructor_stats = reconstruct(reconstructor_stats, fake)
    (on_inferred, _), stats = judge(stats, (inferred, real))
    (on_generated, _), stats = judge(stats, (z, fake))

    squared = jnp.sum((z - reconstructed) ** 2, axis=1)
    terms = {
        "generator_loss": jnp.mean(on_generated),
        "reconstruction_loss": jnp.mean(squared) / 2 + z.shape[1] / 2 * math.log(2 * math.pi),
        "discriminator_loss": jnp.mean(jax.nn.softplus(-on_generated)) + jnp.mean(jax.nn.softplus(on_inferred)),
    }
    objectives = (terms["generator_loss"] + terms["reconstruction_loss"], terms["discriminator_loss"])
    return objectives, ((generator_stats, reconstructor_stats, stats), terms)
