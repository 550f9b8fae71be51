"""Two networks that play against each other, and the moves that algorithms are made of.

Every function takes the `Game` (the fixed parts) and a `GANState` (what changes) and is pure. With `axis_name` it runs
on one device's part of the batch. Losses and terms then see the outputs of the *global* batch (gathered), z is drawn
for the global batch, and gradients are averaged, so that N devices compute what one device would. For a function of
gathered values the mean over devices of the per-device gradients is the exact gradient: the transpose of the gather
sums the N equal cotangents.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from buresgan_jax import ops
from buresgan_jax.algorithms.apply import apply, chain, network_key, variables
from buresgan_jax.algorithms.protocol import (
    Batch,
    Game,
    GANState,
    Move,
    NetworkState,
    Optimizer,
    Step,
    StepOutputs,
    Term,
    join_packs,
)

# Devices


def axis_size(game: Game) -> int:
    """Number of devices that share the batch."""
    return 1 if game.axis_name is None else jax.lax.axis_size(game.axis_name)


def own_rows(game: Game, array: jax.Array) -> jax.Array:
    """This device's rows of an array over the global batch."""
    return ops.own_rows(array, game.axis_name)


def gather(game: Game, tree):
    """Arrays over the global batch from this device's rows."""
    if game.axis_name is None:
        return tree
    return jax.tree.map(lambda array: jax.lax.all_gather(array, game.axis_name, tiled=True), tree)


def mean_over_devices(game: Game, tree):
    """Mean of every leaf over the devices."""
    return tree if game.axis_name is None else jax.lax.pmean(tree, game.axis_name)


def sample_latent(game: Game, state: GANState, key: jax.Array, size: int) -> jax.Array:
    """This device's `size` rows of z for the global batch."""
    return own_rows(game, game.latent.sample(state.latent, key, size * axis_size(game)))


# Forward and backward


def nth(batches: Batch, number: int) -> Batch:
    """One of the batches of an update."""
    return jax.tree.map(lambda leaf: leaf[number], batches)


def show(game: Game, z: jax.Array | None, x: jax.Array, key: jax.Array):
    """The discriminator's inputs for samples: as the game shows them, in packs."""
    return join_packs(game.show(z, x, key), game.pack)


def discriminate(game: Game, network: NetworkState, z: jax.Array | None, x: jax.Array, key: jax.Array):
    """`((outputs, features, extra), collections)` of the discriminator in training, on samples."""
    show_key, apply_key = (network_key(key, use) for use in ("show", "discriminator"))
    return apply(game.discriminator, network, show(game, z, x, show_key), key=apply_key)


def forward(game: Game, state: GANState, batch: Batch, z: jax.Array, key: jax.Array):
    """One pass through both networks, and how to go back.

    The discriminator's pass over the fakes serves both players: its pullback is called once by each, and what a player
    does not need of it is never computed.

    Args:
        game: The game.
        state: The state.
        batch: This device's real examples.
        z: This device's latent samples.
        key: For networks that draw random numbers, and for what the discriminator is shown.

    Returns:
        The local StepOutputs, a pullback `cotangents -> (generator gradient, discriminator gradient)`, and the new
        collections of the two networks.
    """

    def networks(generator_params, discriminator_params):
        generator = state.generator.replace(params=generator_params)
        network = state.discriminator.replace(params=discriminator_params)
        fake, generator_collections = apply(game.generator, generator, z, key=network_key(key, "generator"))
        # Two separate passes: each batch is normalized by its own statistics.
        real_key, fake_key = network_key(key, "real"), network_key(key, "fake")
        on_real, collections = discriminate(game, network, None, batch.examples, real_key)
        on_fake, collections = discriminate(game, chain(network, collections), z, fake, fake_key)
        rows = (each for pair in zip(on_real, on_fake, strict=True) for each in pair)
        return StepOutputs(z, batch.index, batch.examples, fake, *rows), (generator_collections, collections)

    return jax.vjp(networks, state.generator.params, state.discriminator.params, has_aux=True)


def _make_step(game, state, outputs, generator_params, discriminator_params, key):
    generator = state.generator.replace(params=generator_params)
    network = state.discriminator.replace(params=discriminator_params)
    size = outputs.z.shape[0]
    return Step(
        outputs=gather(game, outputs),
        local=outputs,
        state=state,
        generate=lambda z: apply(game.generator, generator, z, key=network_key(key, "generator"))[0],
        discriminate=lambda x: discriminate(game, network, None, x, network_key(key, "real"))[0],
        sample_latent=lambda key: sample_latent(game, state, key, size),
        rows=partial(own_rows, game),
        gather=partial(gather, game),
    )


def with_metrics(name: str, result: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
    """A value and its metrics, from what a loss or term returned: a value, or `(value, metrics)`."""
    value, metrics = result if isinstance(result, tuple) else (result, {})
    return value, {name: value, **metrics}


def weighted_terms(terms: tuple[Term, ...], step: Step, key: jax.Array):
    """Weighted sum of terms, and their metrics: each unweighted value by name, and what the terms add."""
    total, metrics = 0.0, {}
    for index, term in enumerate(terms):
        value, own = with_metrics(term.name, term.function(step, jax.random.fold_in(key, index)))
        total += step.state.hyperparameters[f"{term.name}_weight"] * term.schedule(step.state.step) * value
        metrics |= own
    return total, metrics


def _objective_gradient(game, objective, outputs, params, pullback):
    """Gradient in the parameters, through the outputs and directly, averaged over devices, and the metrics."""
    differentiate = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True, allow_int=True)  # numbers of examples
    (_, metrics), (cotangents, direct) = differentiate(outputs, params)
    gradient = jax.tree.map(jnp.add, pullback(cotangents), direct)
    return mean_over_devices(game, gradient), mean_over_devices(game, metrics)


def generator_objective(game: Game, state: GANState, outputs, key: jax.Array, *, adversarial: bool = True):
    """The generator's objective as a function of its parameters and of what came out of them, and its metrics.

    With `adversarial=False` the objective is the weighted terms alone.
    """
    step = _make_step(game, state, outputs, state.generator.params, state.discriminator.params, key)
    total, metrics = weighted_terms(game.generator_terms, step, key)
    if adversarial:
        result = game.loss.generator(step.outputs.real_outputs, step.outputs.fake_outputs)
        loss, own = with_metrics("generator_loss", result)
        total, metrics = game.generator_objective_scale * (loss + total), metrics | own
    return total, metrics


def generator_gradient(game: Game, state: GANState, outputs, pullback, key, *, adversarial: bool = True):
    """Gradient of the generator's objective, averaged over devices, and its metrics."""

    def objective(outputs, params):
        moved = state.replace(generator=state.generator.replace(params=params))
        return generator_objective(game, moved, outputs, key, adversarial=adversarial)

    return _objective_gradient(game, objective, outputs, state.generator.params, lambda each: pullback(each)[0])


def discriminator_gradient(game: Game, state: GANState, outputs, pullback, key):
    """Gradient of the discriminator's objective, averaged over devices, and its metrics."""

    def objective(outputs, params):
        step = _make_step(game, state, outputs, state.generator.params, params, key)
        total, metrics = weighted_terms(game.discriminator_terms, step, key)
        result = game.loss.discriminator(step.outputs.real_outputs, step.outputs.fake_outputs)
        loss, own = with_metrics("discriminator_loss", result)
        return loss + total, metrics | own

    return _objective_gradient(game, objective, outputs, state.discriminator.params, lambda each: pullback(each)[1])


# Updates


def remember(game: Game, terms: tuple[Term, ...], state: GANState, outputs: StepOutputs) -> GANState:
    """The state whose buffers hold what the terms keep of a move, from this device's outputs before it."""
    kept = {
        term.name: term.memory.push(state.buffers[term.name], gather(game, outputs))
        for term in terms
        if term.memory is not None
    }
    return state.replace(buffers=state.buffers | kept)


def apply_gradient(network: NetworkState, gradient, optimizer: Optimizer, learning_rate, step) -> NetworkState:
    """One optimizer step."""
    updates, opt_state = optimizer.transform.update(gradient, network.opt_state, network.params)
    rate = learning_rate * optimizer.schedule(step)
    params = optax.apply_updates(network.params, jax.tree.map(lambda update: -rate * update, updates))
    return network.replace(params=params, opt_state=opt_state)


def _stepped(state, name, network, optimizer, gradient, collections):
    rate = state.hyperparameters[f"{name}_learning_rate"]
    return apply_gradient(network, gradient, optimizer, rate, state.step).replace(collections=collections)


def step_generator(game: Game, state: GANState, gradient, collections) -> GANState:
    """The state after one optimizer step of the generator."""
    optimizer = game.generator_optimizer
    return state.replace(generator=_stepped(state, "generator", state.generator, optimizer, gradient, collections))


def step_discriminator(game: Game, state: GANState, gradient, collections) -> GANState:
    """The state after one optimizer step of the discriminator."""
    network, optimizer = state.discriminator, game.discriminator_optimizer
    return state.replace(discriminator=_stepped(state, "discriminator", network, optimizer, gradient, collections))


def step_auxiliary(game: Game, state: GANState, name: str, gradient, collections) -> GANState:
    """The state after one optimizer step of a further network."""
    (optimizer,) = (each.optimizer for each in game.auxiliary if each.name == name)
    stepped = _stepped(state, name, state.auxiliary[name], optimizer, gradient, collections)
    return state.replace(auxiliary=state.auxiliary | {name: stepped})


def simultaneous_update(game: Game, state: GANState, batch: Batch, key: jax.Array) -> Move:
    """Both players move at once: same z, same real batch, both gradients at the old parameters."""
    z_key, generator_key, discriminator_key = jax.random.split(key, 3)
    z = sample_latent(game, state, z_key, len(batch.examples))
    outputs, pullback, (generator_collections, collections) = forward(game, state, batch, z, key)
    generator_grad, generator_metrics = generator_gradient(game, state, outputs, pullback, generator_key)
    discriminator_grad, metrics = discriminator_gradient(game, state, outputs, pullback, discriminator_key)
    state = step_generator(game, state, generator_grad, generator_collections)
    state = step_discriminator(game, state, discriminator_grad, collections)
    state = remember(game, game.generator_terms + game.discriminator_terms, state, outputs)
    return Move(state, outputs, generator_metrics | metrics)


def generator_update(game: Game, state: GANState, batch: Batch, key: jax.Array, *, adversarial: bool = True) -> Move:
    """The generator moves alone; with `adversarial=False`, on its terms alone."""
    z_key, generator_key = jax.random.split(key)
    z = sample_latent(game, state, z_key, len(batch.examples))
    outputs, pullback, (collections, _) = forward(game, state, batch, z, key)
    gradient, metrics = generator_gradient(game, state, outputs, pullback, generator_key, adversarial=adversarial)
    state = step_generator(game, state, gradient, collections)
    return Move(remember(game, game.generator_terms, state, outputs), outputs, metrics)


def discriminator_update(game: Game, state: GANState, batch: Batch, key: jax.Array) -> Move:
    """The discriminator moves alone."""
    z_key, discriminator_key = jax.random.split(key)
    z = sample_latent(game, state, z_key, len(batch.examples))
    outputs, pullback, (_, collections) = forward(game, state, batch, z, key)
    gradient, metrics = discriminator_gradient(game, state, outputs, pullback, discriminator_key)
    state = step_discriminator(game, state, gradient, collections)
    return Move(remember(game, game.discriminator_terms, state, outputs), outputs, metrics)


def scan_moves(move: Callable, start, batches: Batch, *others):
    """`jax.lax.scan` of a move over batches: `move(carry, (batch, *others)) -> (carry, results)`.

    For images on a CPU the loop is unrolled: XLA's fast convolutions are for the outermost computation only (five moves
    of the discriminator of WGAN-GP for CIFAR: 5.6 times as fast, compiled in the same time).

    Args:
        move: The move that is repeated.
        start: The first carry.
        batches: The batches, with an axis of n before their own.
        others: Further inputs of the moves, with an axis of n first.

    Returns:
        The last carry, and all results with an axis of n first.
    """
    inputs = (batches, *others)
    loop = partial(jax.lax.scan, move)
    if batches.examples.ndim <= 3:
        return loop(start, inputs)
    return jax.lax.platform_dependent(start, inputs, cpu=partial(loop, unroll=True), default=loop)


def finish_step(game: Game, state: GANState) -> GANState:
    """Advances the moving averages and the step counter; the last move of every update."""
    if callable(game.ema_decay):
        decay = game.ema_decay(state.step)
    else:
        decay = jnp.minimum(game.ema_decay, (1 + state.step) / (10 + state.step))
    averaged = {"params", "batch_stats"}  # the other collections are taken as they are
    ema = variables(state.generator)
    for name in averaged & ema.keys():
        ema[name] = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.ema[name], ema[name])
    return state.replace(ema=ema, step=state.step + 1)
