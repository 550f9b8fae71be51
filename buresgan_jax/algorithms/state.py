"""From a game to an algorithm: its first state, its samples, its preparation."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from buresgan_jax.algorithms import moves
from buresgan_jax.algorithms.apply import variables
from buresgan_jax.algorithms.protocol import (
    Algorithm,
    Game,
    GANState,
    NetworkState,
    Optimizer,
    StepOutputs,
    show_samples,
)


def init_network(module: Any, optimizer: Optimizer, key: jax.Array, inputs: Any) -> NetworkState:
    """Initializes a module on `inputs` (with their batch axis) and its optimizer."""
    collections = dict(module.init(key, inputs, train=True))
    params = collections.pop("params")
    return NetworkState(params, collections, optimizer.transform.init(params))


def init(game: Game, key: jax.Array, example: jax.Array, prepared: Mapping[str, Any] | None = None) -> GANState:
    """The state before the first step.

    Args:
        game: The game.
        key: Decides the initial parameters.
        example: One real example.
        prepared: What `prepare` made. Default: nothing, for a game that needs nothing.
    """
    prepared = dict(prepared or {})
    _, z_key, generator_key, discriminator_key = jax.random.split(key, 4)
    latent = prepared.pop("latent", ())
    rows = 2 * game.pack
    z = game.latent.sample(latent, z_key, rows)
    samples = jnp.stack([example] * rows)
    generator = init_network(game.generator, game.generator_optimizer, generator_key, z)
    inputs = moves.show(game, z, samples, discriminator_key)
    discriminator = init_network(game.discriminator, game.discriminator_optimizer, discriminator_key, inputs)
    auxiliary = {}
    for index, each in enumerate(game.auxiliary):
        own_key = jax.random.fold_in(discriminator_key, index)
        auxiliary[each.name] = init_network(each.module, each.optimizer, own_key, each.example(z, samples))
    state = GANState(
        step=jnp.zeros((), jnp.int32),
        generator=generator,
        discriminator=discriminator,
        auxiliary=auxiliary,
        buffers={},
        ema=variables(generator),
        latent=latent,
        prepared=prepared,
        hyperparameters={name: jnp.asarray(value, jnp.float32) for name, value in _hyperparameters(game).items()},
    )
    keys = {name: jax.random.fold_in(z_key, index) for index, name in enumerate(sorted(game.buffers))}
    buffers = {name: make(state, keys[name]) for name, make in game.buffers.items()}
    remembering = [term for term in game.generator_terms + game.discriminator_terms if term.memory is not None]
    like = _outputs_like(game, z, samples, discriminator_key) if remembering else None
    buffers |= {term.name: term.memory.empty(like) for term in remembering}
    return state.replace(buffers=buffers)


def _outputs_like(game, z, samples, key):
    """Shapes and dtypes of the outputs of a step with these samples."""

    def outputs(z, samples):
        heads, _ = game.discriminator.init_with_output(key, moves.show(game, z, samples, key), train=True)
        index = jnp.zeros(len(z), jnp.int32)
        return StepOutputs(z, index, samples, samples, *(head for head in heads for _ in range(2)))

    return jax.eval_shape(outputs, z, samples)


def _hyperparameters(game):
    values = {
        "generator_learning_rate": game.generator_optimizer.learning_rate,
        "discriminator_learning_rate": game.discriminator_optimizer.learning_rate,
    }
    for each in game.auxiliary:
        values[f"{each.name}_learning_rate"] = each.optimizer.learning_rate
    for term in game.generator_terms + game.discriminator_terms:
        values |= {f"{term.name}_weight": term.weight, **term.hyperparameters}
    return values | dict(game.hyperparameters)


def generate(game: Game, state: GANState, z: jax.Array, *, ema: bool = True) -> jax.Array:
    """Samples `[n, ...]` from `z [n, latent_dim]`, in inference mode, by the averaged or the raw generator."""
    return game.generator.apply(state.ema if ema else variables(state.generator), z, train=False)


def sample(game: Game, state: GANState, key: jax.Array, n: int, *, ema: bool = True) -> jax.Array:
    """`n` samples from the latent distribution."""
    return generate(game, state, game.latent.sample(state.latent, key, n), ema=ema)


def log_ratio(game: Game, state: GANState, examples: jax.Array) -> jax.Array:
    """The discriminator's estimate of `log(p / q)` of examples `[n, ...]`, in inference mode; `[n, output_dim]`."""
    outputs, _, _ = game.discriminator.apply(variables(state.discriminator), examples, train=False)
    return game.loss.log_ratio(outputs)


def make_algorithm(game: Game, update: Callable, *, batches_per_update: int = 1) -> Algorithm:
    """An algorithm with its own update and everything else as the game has it."""
    preparations = dict(game.preparations)
    if game.latent.preparation is not None:
        preparations["latent"] = game.latent.preparation

    # A discriminator of packs, of pairs or of changed samples knows the ratio of their densities only.
    sees_examples = game.pack == 1 and game.show is show_samples

    def prepare(source, seed):
        return {name: each.compute(source, seed) for name, each in preparations.items()}

    return Algorithm(
        init=partial(init, game),
        update=update,
        generate=partial(generate, game),
        sample=partial(sample, game),
        prepare=prepare,
        prepared_like={name: each.like for name, each in preparations.items()},
        latent=game.latent,
        batches_per_update=batches_per_update,
        log_ratio=partial(log_ratio, game) if sees_examples and game.loss.log_ratio else None,
    )
