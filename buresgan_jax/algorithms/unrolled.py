"""Unrolled GAN: the generator answers to where the discriminator would go."""

import jax
import optax

from buresgan_jax import declarations
from buresgan_jax.algorithms import moves
from buresgan_jax.algorithms.inference import InferenceOnly
from buresgan_jax.algorithms.protocol import Algorithm, Batch, Game
from buresgan_jax.algorithms.state import make_algorithm
from buresgan_jax.declarations import Option

REFERENCE_COMPAT = Option("reference_compat", False, "as in the code of BuresGAN's authors, see docs/methods.md")


def _check(values):
    is_first_order = values["algorithm.first_order"] or values["algorithm.reference_compat"]
    if values["optimizer.eps_root"] <= 0 and not is_first_order:
        raise ValueError(
            "The algorithm 'unrolled' differentiates through the optimizer, config.optimizer.eps_root is "
            f"{values['optimizer.eps_root']}. Set it above 0, such as 1e-30, or config.algorithm.first_order=True."
        )


@declarations.algorithm(
    "unrolled",
    "the generator answers to where the discriminator would go",
    Option("unrolled_steps", 5, "discriminator updates that the generator looks ahead", least=1, most=100),
    Option("first_order", False, "leave out the gradient through these updates"),
    REFERENCE_COMPAT,
    requires={"algorithm.discriminator_steps": 1},
    check=_check,
)
def unrolled(
    game: Game, *, unrolled_steps: int = 5, first_order: bool = False, reference_compat: bool = False
) -> Algorithm:
    """The generator moves against a discriminator that has made `unrolled_steps` updates, of which the first is kept.

    Every one of these updates has its own real batch and z. All of the discriminator goes back to where it was after
    the first one, optimizer state included, as nothing else was kept.

    Args:
        game: Networks, loss, terms, optimizers. The gradient goes through the discriminator's optimizer: with Adam,
            something above 0 belongs under its root (`eps_root`), or a gradient of exactly 0 makes it NaN.
        unrolled_steps: Discriminator updates, at least 1.
        first_order: Treat the updated discriminator as a constant: cheaper, and no longer the paper's gradient.
        reference_compat: As in the code of BuresGAN's authors: first order; the generator's z is the last update's; the
            further updates have moments of their own, which outlive them, and a common step count; the generator runs
            in inference mode while the discriminator moves, and vice versa.

    References:
        Metz et al., "Unrolled Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1611.02163.
    """
    first_order = first_order or reference_compat
    if reference_compat:
        game = game._replace(buffers={"surrogate_opt_state": lambda state, key: state.discriminator.opt_state})
    inner_game = outer_game = game
    if reference_compat:
        inner_game = game._replace(generator=InferenceOnly(game.generator))
        outer_game = game._replace(discriminator=InferenceOnly(game.discriminator))

    def update(state, batches, key):
        keys = jax.random.split(key, unrolled_steps + 1)
        z_key, term_key = jax.random.split(keys[-2] if reference_compat else keys[-1])
        z = moves.sample_latent(game, state, z_key, batches.examples.shape[1])

        def objective(params):
            start = state.replace(generator=state.generator.replace(params=params))

            def inner_update(discriminator, inputs):
                inner = start.replace(discriminator=discriminator)
                return moves.discriminator_update(inner_game, inner, *inputs).state.discriminator, None

            move = moves.discriminator_update(inner_game, start, moves.nth(batches, 0), keys[0])
            first = move.state.discriminator
            surrogate = _with_own_moments(first, state) if reference_compat else first
            rest = Batch(*(leaf[1:] for leaf in batches))
            last, _ = moves.scan_moves(inner_update, surrogate, rest, keys[1:-1])
            seen = start.replace(discriminator=jax.lax.stop_gradient(last) if first_order else last)
            outputs, _, (collections, _) = moves.forward(outer_game, seen, moves.nth(batches, -1), z, keys[-1])
            value, metrics = moves.generator_objective(outer_game, seen, outputs, term_key)
            buffers = moves.remember(game, game.generator_terms, move.state, outputs).buffers
            return value, (first, last, collections, buffers, move.metrics | metrics)

        gradient, results = jax.grad(objective, has_aux=True)(state.generator.params)
        first, last, collections, buffers, metrics = results
        gradient, metrics = moves.mean_over_devices(game, (gradient, metrics))
        if reference_compat:
            count = optax.tree.get(last.opt_state, "count")
            first = first.replace(opt_state=optax.tree.set(first.opt_state, count=count))
            buffers |= {"surrogate_opt_state": last.opt_state}
        state = state.replace(discriminator=first, buffers=buffers)
        state = moves.step_generator(game, state, gradient, collections)
        return moves.finish_step(game, state), metrics

    return make_algorithm(game, update, batches_per_update=unrolled_steps)


def _with_own_moments(discriminator, state):
    """The discriminator with the moments that the surrogate had at the end of the step before."""
    count = optax.tree.get(discriminator.opt_state, "count")
    return discriminator.replace(opt_state=optax.tree.set(state.buffers["surrogate_opt_state"], count=count))
