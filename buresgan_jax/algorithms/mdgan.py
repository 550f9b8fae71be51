"""MDGAN, two versions: an encoder lets the generator reconstruct data, so that no mode of the data is out of its reach.

The autoencoder "encoder, then generator" is a generator whose z is a real sample, so the ordinary moves serve it.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import declarations
from buresgan_jax.algorithms import moves
from buresgan_jax.algorithms.inference import InferenceOnly
from buresgan_jax.algorithms.protocol import Algorithm, Auxiliary, Game, NetworkState, Term
from buresgan_jax.algorithms.state import make_algorithm
from buresgan_jax.algorithms.unrolled import REFERENCE_COMPAT
from buresgan_jax.declarations import Option


class Autoencoder(nn.Module):
    """Samples to z and back."""

    encoder: nn.Module
    generator: nn.Module

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps samples to samples of the same shape."""
        return self.generator(self.encoder(x, train=train), train=train)


def _options(reconstruction, mode):
    return (
        Option("reconstruction_weight", reconstruction, "multiplies the error of G(E(x))", least=0, is_traced=True),
        Option("mode_weight", mode, "multiplies the generator's loss on G(E(x))", least=0, is_traced=True),
        REFERENCE_COMPAT,
    )


_REQUIRES = {"algorithm.discriminator_steps": 1}


@declarations.algorithm(
    "mdgan_v1",
    "an encoder gives back the modes that the generator misses",
    *_options(0.2, 0.4),
    modules=("encoder",),
    requires=_REQUIRES,
)
def mdgan_v1(
    game: Game,
    encoder: nn.Module,
    *,
    reconstruction_weight: float = 0.2,
    mode_weight: float = 0.4,
    reference_compat: bool = False,
) -> Algorithm:
    """The mode regularizer: discriminator, encoder, generator move in turn, on one real batch and one z.

    Encoder and generator minimize `reconstruction_weight` times the mean squared error of G(E(x)) plus `mode_weight`
    times the generator's loss of the discriminator's outputs on G(E(x)); the generator its loss on G(z) as well. Moving
    statistics of batch norm are those of G(z), which is what is sampled.

    Args:
        game: Networks, loss, terms, optimizers. The encoder has the generator's optimizer, with its own state.
        encoder: Linen module, `(samples, *, train) -> z`.
        reconstruction_weight: Initial value of this hyperparameter.
        mode_weight: Initial value of this hyperparameter.
        reference_compat: As in the code of BuresGAN's authors: the squared error is summed over the batch and all axes
            but the last, the outputs on G(E(x)) are pushed towards the label "fake", and only the discriminator, and
            only where it moves, runs in train mode.

    References:
        Che et al., "Mode Regularized Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1612.02136.
    """
    weights = {"reconstruction": reconstruction_weight, "mode": mode_weight}
    terms = _terms(game, weights, _summed_error if reference_compat else _mean_error, pushes_to_fake=reference_compat)
    game = _with_encoder(game, encoder, terms)
    first_game = game._replace(generator=InferenceOnly(game.generator)) if reference_compat else game
    rest_game = _in_inference_mode(game) if reference_compat else game
    autoencoder_game = _autoencoder_game(game, encoder, terms, reference_compat)

    def update(state, batches, key):
        batch = moves.nth(batches, 0)
        first = moves.discriminator_update(first_game, state, batch, key)
        state = first.state

        def gradients(state):
            whole = _autoencoder_state(state, state.discriminator)
            outputs, pullback, (collections, _) = moves.forward(autoencoder_game, whole, batch, batch.examples, key)
            options = {"adversarial": False}
            gradient, metrics = moves.generator_gradient(autoencoder_game, whole, outputs, pullback, key, **options)
            return gradient, _part(collections, "encoder"), metrics

        gradient, collections, _ = gradients(state)
        state = moves.step_auxiliary(game, state, "encoder", gradient["encoder"], collections)

        gradient, _, autoencoder_metrics = gradients(state)
        z_key, term_key = jax.random.split(key)  # as in `discriminator_update`: the same z
        z = moves.sample_latent(game, state, z_key, len(batch.examples))
        outputs, pullback, (collections, _) = moves.forward(rest_game, state, batch, z, key)
        on_z, metrics = moves.generator_gradient(rest_game, state, outputs, pullback, term_key)
        gradient = jax.tree.map(jnp.add, on_z, gradient["generator"])
        state = moves.step_generator(game, state, gradient, collections)
        state = moves.remember(game, game.generator_terms, state, outputs)
        return moves.finish_step(game, state), first.metrics | autoencoder_metrics | metrics

    return make_algorithm(game, update)


@declarations.algorithm(
    "mdgan_v2",
    "one discriminator brings G(E(x)) to the data, another G(z) to G(E(x))",
    *_options(1.0, 0.01),
    modules=("encoder",),
    requires=_REQUIRES,
)
def mdgan_v2(
    game: Game,
    encoder: nn.Module,
    *,
    reconstruction_weight: float = 1.0,
    mode_weight: float = 0.01,
    reference_compat: bool = False,
) -> Algorithm:
    """Manifold and diffusion: one discriminator brings G(E(x)) to the data, another G(z) to G(E(x)).

    On a first real batch, the manifold discriminator tells x from G(E(x)), then encoder and generator minimize
    `reconstruction_weight` times the squared error (summed over the axis after the batch, the mean of the others) plus
    `mode_weight` times the generator's loss on G(E(x)). On a second one, the discriminator tells G(E(x)) from G(z), and
    the generator answers with the same z. Losses without a prefix are those of the second half.

    Args:
        game: Networks, loss, terms, optimizers; the manifold discriminator is a second one of the same kind.
        encoder: Linen module, `(samples, *, train) -> z`.
        reconstruction_weight: Initial value of this hyperparameter.
        mode_weight: Initial value of this hyperparameter.
        reference_compat: As in the code of BuresGAN's authors: no network ever runs in train mode.

    References:
        Che et al., "Mode Regularized Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1612.02136.
    """
    terms = _terms(game, {"reconstruction": reconstruction_weight, "mode": mode_weight}, _error_of_first_axis)
    game = _with_encoder(game, encoder, terms, _manifold_discriminator(game))
    diffusion_game = _in_inference_mode(game) if reference_compat else game
    manifold_game = _autoencoder_game(game, encoder, terms, reference_compat)

    def update(state, batches, key):
        first_key, second_key = jax.random.split(key)
        batch = moves.nth(batches, 0)

        def forward(state, batch):
            whole = _autoencoder_state(state, state.auxiliary["manifold_discriminator"])
            return whole, *moves.forward(manifold_game, whole, batch, batch.examples, first_key)

        whole, outputs, pullback, (_, collections) = forward(state, batch)
        gradient, manifold = moves.discriminator_gradient(manifold_game, whole, outputs, pullback, first_key)
        state = moves.step_auxiliary(game, state, "manifold_discriminator", gradient, collections)

        whole, outputs, pullback, (collections, _) = forward(state, batch)
        options = {"adversarial": False}
        gradient, metrics = moves.generator_gradient(manifold_game, whole, outputs, pullback, first_key, **options)
        state = moves.step_auxiliary(game, state, "encoder", gradient["encoder"], _part(collections, "encoder"))
        # Moving statistics are those of G(z), which is what is sampled.
        state = moves.step_generator(game, state, gradient["generator"], state.generator.collections)

        batch = moves.nth(batches, 1)
        _, outputs, _, _ = forward(state, batch)
        batch = batch._replace(examples=outputs.fake)
        # One key, one z.
        first = moves.discriminator_update(diffusion_game, state, batch, second_key)
        last = moves.generator_update(diffusion_game, first.state, batch, second_key)
        metrics |= {f"manifold_{name}": value for name, value in manifold.items()}
        return moves.finish_step(game, last.state), metrics | first.metrics | last.metrics

    # The discriminator compares samples with reconstructions, not with the data.
    return make_algorithm(game, update, batches_per_update=2)._replace(log_ratio=None)


def _manifold_discriminator(game):
    """A second discriminator, like the game's."""

    def example(z, x):
        return moves.show(game, z, x, jax.random.key(0))

    return Auxiliary("manifold_discriminator", game.discriminator, game.discriminator_optimizer, example)


def _terms(game, weights, error, *, pushes_to_fake=False):
    """The two terms of the autoencoder's objective."""

    def reconstruction(step, key):
        del key
        return error(game, step.local.real - step.local.fake)

    def mode(step, key):
        del key
        if pushes_to_fake:
            return jnp.mean(jax.nn.softplus(step.outputs.fake_outputs))
        return game.loss.generator(step.outputs.real_outputs, step.outputs.fake_outputs)

    functions = {"reconstruction": reconstruction, "mode": mode}
    return tuple(Term(name, weights[name], function) for name, function in functions.items())


def _mean_error(game, difference):
    return jnp.mean(jnp.mean(difference**2, axis=-1))


def _summed_error(game, difference):
    """The authors': summed over the global batch and all axes but the last."""
    return jnp.sum(jnp.mean(difference**2, axis=-1)) * moves.axis_size(game)


def _error_of_first_axis(game, difference):
    return jnp.mean(jnp.sum(difference**2, axis=1))


def _with_encoder(game, encoder, terms, *others):
    """The game with its further networks, and with the weights of the terms of the autoencoder."""
    return game._replace(
        auxiliary=(Auxiliary("encoder", encoder, game.generator_optimizer), *others),
        hyperparameters={f"{term.name}_weight": term.weight for term in terms},
    )


def _in_inference_mode(game):
    return game._replace(
        generator=InferenceOnly(game.generator),
        discriminator=InferenceOnly(game.discriminator),
    )


def _autoencoder_game(game, encoder, terms, inference):
    """The game whose generator is the autoencoder."""
    whole = game._replace(generator=Autoencoder(encoder, game.generator), generator_terms=terms)
    return _in_inference_mode(whole) if inference else whole


def _autoencoder_state(state, discriminator):
    """The state as the autoencoder's game sees it; nothing steps it, so it has no optimizer state."""
    parts = {"encoder": state.auxiliary["encoder"], "generator": state.generator}
    collections = {
        collection: {
            name: part.collections[collection] for name, part in parts.items() if collection in part.collections
        }
        for part in parts.values()
        for collection in part.collections
    }
    params = {name: part.params for name, part in parts.items()}
    return state.replace(generator=NetworkState(params, collections, ()), discriminator=discriminator)


def _part(collections, name):
    """The collections of one network of the autoencoder."""
    return {collection: parts[name] for collection, parts in collections.items() if name in parts}
