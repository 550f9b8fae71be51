"""Alternating BuresGAN: the terms and the adversarial loss take turns."""

import jax

from buresgan_jax import declarations
from buresgan_jax.algorithms import moves
from buresgan_jax.algorithms.protocol import Algorithm, Game
from buresgan_jax.algorithms.state import make_algorithm


@declarations.algorithm(
    "alternating",
    "the generator moves on its terms alone, then both players on their losses",
    requires={"algorithm.discriminator_steps": 1},
)
def alternating(game: Game) -> Algorithm:
    """First the generator moves on its terms alone, then both players move on the adversarial losses alone.

    The two moves use different real batches and different z. The generator's one optimizer serves both, so its moments
    mix both gradients and its step count advances by two per update.

    Args:
        game: Networks, loss, at least one term of the generator, optimizers.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. As in the authors' code, the shared optimizer included.
    """
    if not game.generator_terms:
        raise ValueError("The algorithm 'alternating' needs a term of the generator. Add one, such as bures.")
    adversarial_game = game._replace(generator_terms=(), generator_objective_scale=1.0)

    def update(state, batches, key):
        term_key, adversarial_key = jax.random.split(key)
        move = moves.generator_update(game, state, moves.nth(batches, 0), term_key, adversarial=False)
        last = moves.simultaneous_update(adversarial_game, move.state, moves.nth(batches, 1), adversarial_key)
        return moves.finish_step(game, last.state), move.metrics | last.metrics

    return make_algorithm(game, update, batches_per_update=2)
