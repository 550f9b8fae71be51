"""Unrolled GAN: the generator answers to where the discriminator would go."""

import jax
import optax

from buresgan_jax.algorithms import moves as moves
from buresgan_jax.algorithms.gan import make_algorithm
from buresgan_jax.algorithms.inference import InferenceOnly
from buresgan_jax.algorithms.protocol import Algorithm, Game


def unrolled(
    game: Game, *, unrolled_steps: int = 5, first_order: bool = False, reference_compat: bool = False
) -> Algorithm:
    """The generator moves against a discriminator that has made `unrolled_steps` updates, of which the first is kept.

    Every one of these updates has its own real batch and z. All of the discriminator goes back to where it was after
    the first one, optimizer state included, as nothing else was kept.

    Args:
        game: networks, loss, penalties, optimizers. The gradient goes through the discriminator's optimizer: with Adam,
            something above 0 belongs under its root (`eps_root`), or a gradient of exactly 0 makes it NaN.
        unrolled_steps: discriminator updates, at least 1.
        first_order: treat the updated discriminator as a constant: cheaper, and no longer the paper's gradient.
        reference_compat: as in the code of BuresGAN's authors: first order; the generator's z is the last update's; the
            further updates have moments of their own, which outlive them, and a common step count; the generator runs
            in inference mode while the discriminator moves, and vice versa.

    References:
        Metz et al., "Unrolled Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1611.02163.
    """
    first_order = first_order or reference_compat
    inner_game = outer_game = game
    if reference_compat:
        inner_game = game._replace(generator=InferenceOnly(game.generator))
        outer_game = game._replace(discriminator=InferenceOnly(game.discriminator))

    def update(state, real, key):
        keys = jax.random.split(key, unrolled_steps + 1)
        z_key, penalty_key = jax.random.split(keys[-2] if reference_compat else keys[-1])
        z = moves.sample_latent(game, state, z_key, real.shape[1])

        def objective(params):
            start = state.replace(generator=state.generator.replace(params=params))

            def inner_update(discriminator, inputs):
                inner = start.replace(discriminator=discriminator)
                return moves.discriminator_update(inner_game, inner, *inputs)[0].discriminator, None

            first, terms = moves.discriminator_update(inner_game, start, real[0], keys[0])
            first = first.discriminator
            surrogate = _with_own_moments(first, state) if reference_compat else first
            last, _ = moves.scan_moves(inner_update, surrogate, real[1:], keys[1:-1])
            seen = start.replace(discriminator=jax.lax.stop_gradient(last) if first_order else last)
            outputs, _, (batch_stats, _) = moves.forward(outer_game, seen, real[-1], z)
            value, generator_terms = moves.generator_objective(outer_game, seen, outputs, penalty_key)
            return value, (first, last, batch_stats, terms | generator_terms)

        gradient, (first, last, batch_stats, terms) = jax.grad(objective, has_aux=True)(state.generator.params)
        gradient, terms = moves.mean_over_devices(game, (gradient, terms))
        if reference_compat:
            count = optax.tree.get(last.opt_state, "count")
            first = first.replace(opt_state=optax.tree.set(first.opt_state, count=count))
            state = state.replace(buffers={"surrogate_opt_state": last.opt_state})
        state = moves.step_generator(game, state.replace(discriminator=first), gradient, batch_stats)
        return moves.finish_step(game, state), terms

    def init(key, example):
        state = moves.init(game, key, example)
        return state.replace(buffers={"surrogate_opt_state": state.discriminator.opt_state})

    algorithm = make_algorithm(game, update, batches_per_update=unrolled_steps)
    return algorithm._replace(init=init) if reference_compat else algorithm


def _with_own_moments(discriminator, state):
    """The discriminator with the moments that the surrogate had at the end of the step before."""
    count = optax.tree.get(discriminator.opt_state, "count")
    return discriminator.replace(opt_state=optax.tree.set(state.buffers["surrogate_opt_state"], count=count))
