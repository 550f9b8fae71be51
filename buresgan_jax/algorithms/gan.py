"""The ordinary GAN step. With a term in its game it is BuresGAN, Frobenius GAN, and most methods of the field."""

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.algorithms import moves
from buresgan_jax.algorithms.protocol import Algorithm, Game
from buresgan_jax.algorithms.state import make_algorithm
from buresgan_jax.declarations import Option

DISCRIMINATOR_STEPS = Option("discriminator_steps", 1, "discriminator updates per generator update", least=1, most=1000)


@declarations.algorithm(
    "gan",
    "both players move at once, or the discriminator first",
    DISCRIMINATOR_STEPS,
    Option("simultaneous", True, "both players move at once, on the same batch and z"),
)
def gan(game: Game, *, discriminator_steps: int = 1, simultaneous: bool = True) -> Algorithm:
    """An algorithm of plain moves.

    Args:
        game: Networks, loss, terms, optimizers.
        discriminator_steps: Discriminator updates per generator update, each on a fresh real batch and fresh z.
        simultaneous: With one discriminator step, move both players at once on the same batch and z (the authors'
            BuresGAN). Otherwise the discriminator moves first, and the generator answers with fresh z.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. One evaluation of the discriminator's trunk gives logits and features.
    """

    def update(state, batches, key):
        if simultaneous and discriminator_steps == 1:
            move = moves.simultaneous_update(game, state, moves.nth(batches, 0), key)
            return moves.finish_step(game, move.state), move.metrics

        def discriminator_step(state, inputs):
            batch, index = inputs
            move = moves.discriminator_update(game, state, batch, jax.random.fold_in(key, index))
            return move.state, move.metrics

        state, metrics = moves.scan_moves(discriminator_step, state, batches, jnp.arange(discriminator_steps))
        last_key = jax.random.fold_in(key, discriminator_steps)
        move = moves.generator_update(game, state, moves.nth(batches, -1), last_key)
        last_metrics = jax.tree.map(lambda values: values[-1], metrics)
        return moves.finish_step(game, move.state), move.metrics | last_metrics

    return make_algorithm(game, update, batches_per_update=discriminator_steps)
