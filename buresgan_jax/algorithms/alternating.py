"""Alternating BuresGAN: the penalty and the adversarial loss take turns."""

import jax

from buresgan_jax.algorithms import moves as moves
from buresgan_jax.algorithms.gan import make_algorithm
from buresgan_jax.algorithms.protocol import Algorithm, Game


def alternating(game: Game) -> Algorithm:
    """First the generator moves on its penalties alone, then both players move on the adversarial losses alone.

    The two moves use different real batches and different z; the generator's one optimizer serves both, so its moments
    mix both gradients and its step count advances by two per update.

    References:
        De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021.
        https://arxiv.org/abs/2006.09096. As in the authors' code, the shared optimizer included.
    """
    adversarial_game = game._replace(generator_penalties=(), generator_objective_scale=1.0)

    def update(state, real, key):
        penalty_key, adversarial_key = jax.random.split(key)
        state, penalty_terms = moves.generator_update(game, state, real[0], penalty_key, adversarial=False)
        state, terms = moves.simultaneous_update(adversarial_game, state, real[1], adversarial_key)
        return moves.finish_step(game, state), penalty_terms | terms

    return make_algorithm(game, update, batches_per_update=2)
