"""The ordinary GAN step. With a penalty in its game it is BuresGAN, Frobenius GAN, and most methods of the field."""

from functools import partial

import jax
import jax.numpy as jnp

from buresgan_jax.algorithms import moves as moves
from buresgan_jax.algorithms.protocol import Algorithm, Game


def gan(game: Game, *, discriminator_steps: int = 1, simultaneous: bool = True) -> Algorithm:
    """An algorithm of plain moves.

    Args:
        game: networks, loss, penalties, optimizers.
        discriminator_steps: discriminator updates per generator update, each on a fresh real batch and fresh z.
        simultaneous: with one discriminator step, move both players at once on the same batch and z (the authors'
            BuresGAN); otherwise the discriminator moves first, and the generator answers with fresh z.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. One evaluation of the discriminator's trunk gives logits and features.
    """

    def update(state, real, key):
        if simultaneous and discriminator_steps == 1:
            state, terms = moves.simultaneous_update(game, state, real[0], key)
            return moves.finish_step(game, state), terms

        def discriminator_step(state, inputs):
            batch, index = inputs
            return moves.discriminator_update(game, state, batch, jax.random.fold_in(key, index))

        state, terms = moves.scan_moves(discriminator_step, state, real, jnp.arange(discriminator_steps))
        last_key = jax.random.fold_in(key, discriminator_steps)
        state, generator_terms = moves.generator_update(game, state, real[-1], last_key)
        last_terms = jax.tree.map(lambda values: values[-1], terms)
        return moves.finish_step(game, state), generator_terms | last_terms

    return make_algorithm(game, update, batches_per_update=discriminator_steps)


def make_algorithm(game: Game, update, *, batches_per_update: int) -> Algorithm:
    """An algorithm with its own update and everything else as the game has it."""
    return Algorithm(
        init=partial(moves.init, game),
        update=update,
        generate=partial(moves.generate, game),
        sample=partial(moves.sample, game),
        batches_per_update=batches_per_update,
    )
