"""VEEGAN: a reconstructor maps samples back to z, and the discriminator sees pairs."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import declarations
from buresgan_jax.algorithms import moves
from buresgan_jax.algorithms.apply import apply, chain, network_key
from buresgan_jax.algorithms.protocol import Algorithm, Auxiliary, Game
from buresgan_jax.algorithms.state import make_algorithm


@declarations.algorithm(
    "veegan",
    "the discriminator sees pairs (z, sample), a reconstructor maps samples to z",
    modules=("reconstructor",),
    sees_pairs=True,
    requires={"loss.name": "non_saturating", "terms": (), "algorithm.discriminator_steps": 1},
)
def veegan(game: Game, reconstructor: nn.Module) -> Algorithm:
    """All three networks move at once; the losses are the method's own, and there are no terms.

    The discriminator tells pairs (z, G(z)), label 1, from pairs (F(x), x), label 0. The generator minimizes its output
    on the former; generator and reconstructor maximize the likelihood of z under F(G(z)).

    Args:
        game: Networks, latent, optimizers; its discriminator takes pairs (z, samples). The reconstructor has the
            generator's optimizer, with a state of its own.
        reconstructor: Linen module, `(samples, *, train) -> mean of z`; F is the normal distribution around it with
            unit variance.

    References:
        Srivastava et al., "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning", NeurIPS 2017.
        https://arxiv.org/abs/1705.07761.
    """
    game = game._replace(
        auxiliary=(Auxiliary("reconstructor", reconstructor, game.generator_optimizer),),
        show=lambda z, x, key: (z, x),
    )

    def update(state, batches, key):
        real = batches.examples[0]
        z_key, noise_key = jax.random.split(key)
        z = moves.sample_latent(game, state, z_key, len(real))
        noise = jax.random.normal(noise_key, (z.shape[0] * moves.axis_size(game), z.shape[1]), z.dtype)
        networks = (state.generator, state.auxiliary["reconstructor"], state.discriminator)
        losses = partial(_losses, game, reconstructor, networks, real, z, moves.own_rows(game, noise), key)
        objectives, pullback, (collections, metrics) = jax.vjp(
            losses, *(each.params for each in networks), has_aux=True
        )
        zero, one = (jnp.full_like(objectives[0], value) for value in (0, 1))
        for_generator, for_reconstructor, _ = pullback((one, zero))
        _, _, for_discriminator = pullback((zero, one))
        gradients = moves.mean_over_devices(game, (for_generator, for_reconstructor, for_discriminator))
        state = moves.step_generator(game, state, gradients[0], collections[0])
        state = moves.step_auxiliary(game, state, "reconstructor", gradients[1], collections[1])
        state = moves.step_discriminator(game, state, gradients[2], collections[2])
        return moves.finish_step(game, state), moves.mean_over_devices(game, metrics)

    return make_algorithm(game, update)


def _losses(game, reconstructor, networks, real, z, noise, key, *params):
    """Objectives (generator and reconstructor, discriminator), then the new collections and the metrics."""
    generator, inverse, discriminator = (
        network.replace(params=each) for network, each in zip(networks, params, strict=True)
    )
    fake, generator_collections = apply(game.generator, generator, z, key=network_key(key, "generator"))
    mean, of_inverse = apply(reconstructor, inverse, real)
    inferred = jax.lax.stop_gradient(mean) + noise  # only the discriminator learns from these pairs
    reconstructed, of_inverse = apply(reconstructor, chain(inverse, of_inverse), fake)
    real_key, fake_key = network_key(key, "real"), network_key(key, "fake")
    (on_inferred, *_), seen = moves.discriminate(game, discriminator, inferred, real, real_key)
    (on_generated, *_), seen = moves.discriminate(game, chain(discriminator, seen), z, fake, fake_key)

    squared = jnp.sum((z - reconstructed) ** 2, axis=1)
    metrics = {
        "generator_loss": jnp.mean(on_generated),
        "reconstruction_loss": jnp.mean(squared) / 2 + z.shape[1] / 2 * math.log(2 * math.pi),
        "discriminator_loss": jnp.mean(jax.nn.softplus(-on_generated)) + jnp.mean(jax.nn.softplus(on_inferred)),
    }
    objectives = (metrics["generator_loss"] + metrics["reconstruction_loss"], metrics["discriminator_loss"])
    return objectives, ((generator_collections, of_inverse, seen), metrics)
