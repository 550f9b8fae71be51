"""MDGAN, two versions: an encoder lets the generator reconstruct data, so that no mode of the data is out of its reach.

The autoencoder "encoder, then generator" is a generator whose z is a real sample, so the moves of `game` serve it.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax.algorithms import moves as moves
from buresgan_jax.algorithms.gan import make_algorithm
from buresgan_jax.algorithms.inference import InferenceOnly
from buresgan_jax.algorithms.protocol import Algorithm, Auxiliary, Game, NetworkState, Penalty


class Autoencoder(nn.Module):
    """Samples to z and back."""

    encoder: nn.Module
    generator: nn.Module

    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps samples to samples of the same shape."""
        return self.generator(self.encoder(x, train=train), train=train)


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
        game: networks, loss, penalties, optimizers. The encoder has the generator's optimizer, with its own state.
        encoder: Linen module, `(samples, *, train) -> z`.
        reconstruction_weight: initial value of this hyperparameter.
        mode_weight: initial value of this hyperparameter.
        reference_compat: as in the code of BuresGAN's authors: the squared error is summed over the batch and all axes
            but the last, the outputs on G(E(x)) are pushed towards the label "fake", and only the discriminator, and
            only where it moves, runs in train mode.

    References:
        Che et al., "Mode Regularized Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1612.02136.
    """

    def reconstruction(step, key):
        del key
        errors = jnp.mean((step.local.real - step.local.fake) ** 2, axis=-1)
        return jnp.sum(errors) * moves.axis_size(game) if reference_compat else jnp.mean(errors)

    def mode(step, key):
        del key
        if reference_compat:
            return jnp.mean(jax.nn.softplus(step.outputs.fake_outputs))
        return game.loss.generator(step.outputs.real_outputs, step.outputs.fake_outputs)

    terms = (
        Penalty("reconstruction", reconstruction_weight, reconstruction),
        Penalty("mode", mode_weight, mode),
    )
    game = game._replace(auxiliary=(Auxiliary("encoder", encoder, game.generator_optimizer),))
    first_game = game._replace(generator=InferenceOnly(game.generator)) if reference_compat else game
    rest_game = _in_inference_mode(game) if reference_compat else game
    autoencoder_game = _autoencoder_game(game, encoder, terms, reference_compat)

    def update(state, real, key):
        (real,) = real
        state, discriminator_terms = moves.discriminator_update(first_game, state, real, key)

        def gradients(state):
            whole = _autoencoder_state(state, state.discriminator)
            outputs, pullback, (batch_stats, _) = moves.forward(autoencoder_game, whole, real, real)
            options = {"adversarial": False}
            gradient, terms = moves.generator_gradient(autoencoder_game, whole, outputs, pullback, key, **options)
            return gradient, batch_stats, terms

        gradient, batch_stats, _ = gradients(state)
        encoder_stats = batch_stats.get("encoder", {})
        state = moves.step_auxiliary(game, state, "encoder", gradient["encoder"], encoder_stats)

        gradient, _, autoencoder_terms = gradients(state)
        z_key, penalty_key = jax.random.split(key)  # as in `discriminator_update`: the same z
        z = moves.sample_latent(game, state, z_key, real.shape[0])
        outputs, pullback, (batch_stats, _) = moves.forward(rest_game, state, real, z)
        on_z, generator_terms = moves.generator_gradient(rest_game, state, outputs, pullback, penalty_key)
        state = moves.step_generator(game, state, jax.tree.map(jnp.add, on_z, gradient["generator"]), batch_stats)
        return moves.finish_step(game, state), discriminator_terms | autoencoder_terms | generator_terms

    return _make(game, terms, update, batches_per_update=1)


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
        game: networks, loss, penalties, optimizers; the manifold discriminator is a second one of the same kind.
        encoder: Linen module, `(samples, *, train) -> z`.
        reconstruction_weight: initial value of this hyperparameter.
        mode_weight: initial value of this hyperparameter.
        reference_compat: as in the code of BuresGAN's authors: no network ever runs in train mode.

    References:
        Che et al., "Mode Regularized Generative Adversarial Networks", ICLR 2017. https://arxiv.org/abs/1612.02136.
    """

    def reconstruction(step, key):
        del key
        return jnp.mean(jnp.sum((step.local.real - step.local.fake) ** 2, axis=1))

    def mode(step, key):
        del key
        return game.loss.generator(step.outputs.real_outputs, step.outputs.fake_outputs)

    terms = (
        Penalty("reconstruction", reconstruction_weight, reconstruction),
        Penalty("mode", mode_weight, mode),
    )
    auxiliary = (
        Auxiliary("encoder", encoder, game.generator_optimizer),
        Auxiliary("manifold_discriminator", game.discriminator, game.discriminator_optimizer),
    )
    game = game._replace(auxiliary=auxiliary)
    diffusion_game = _in_inference_mode(game) if reference_compat else game
    manifold_game = _autoencoder_game(game, encoder, terms, reference_compat)

    def update(state, real, key):
        first_key, second_key = jax.random.split(key)

        def forward(state, real):
            whole = _autoencoder_state(state, state.auxiliary["manifold_discriminator"])
            return whole, *moves.forward(manifold_game, whole, real, real)

        whole, outputs, pullback, (_, stats) = forward(state, real[0])
        gradient, manifold_terms = moves.discriminator_gradient(manifold_game, whole, outputs, pullback, first_key)
        state = moves.step_auxiliary(game, state, "manifold_discriminator", gradient, stats)

        whole, outputs, pullback, (stats, _) = forward(state, real[0])
        options = {"adversarial": False}
        gradient, terms = moves.generator_gradient(manifold_game, whole, outputs, pullback, first_key, **options)
        state = moves.step_auxiliary(game, state, "encoder", gradient["encoder"], stats.get("encoder", {}))
        # Moving statistics are those of G(z), which is what is sampled.
        state = moves.step_generator(game, state, gradient["generator"], state.generator.batch_stats)

        _, outputs, _, _ = forward(state, real[1])
        # One key, one z.
        state, discriminator_terms = moves.discriminator_update(diffusion_game, state, outputs.fake, second_key)
        state, generator_terms = moves.generator_update(diffusion_game, state, outputs.fake, second_key)
        terms |= {f"manifold_{name}": value for name, value in manifold_terms.items()}
        return moves.finish_step(game, state), terms | discriminator_terms | generator_terms

    return _make(game, terms, update, batches_per_update=2)


def _make(game, terms, update, *, batches_per_update):
    def init(key, example):
        return moves.init(game._replace(generator_penalties=game.generator_penalties + terms), key, example)

    return make_algorithm(game, update, batches_per_update=batches_per_update)._replace(init=init)


def _in_inference_mode(game):
    return game._replace(
        generator=InferenceOnly(game.generator),
        discriminator=InferenceOnly(game.discriminator),
    )


def _autoencoder_game(game, encoder, terms, inference):
    """The game whose generator is the autoencoder."""
    whole = game._replace(generator=Autoencoder(encoder, game.generator), generator_penalties=terms)
    return _in_inference_mode(whole) if inference else whole


def _autoencoder_state(state, discriminator):
    """The state as the autoencoder's game sees it; nothing steps it, so it has no optimizer state."""
    networks = {"encoder": state.auxiliary["encoder"], "generator": state.generator}
    params, batch_stats = (
        {name: getattr(network, part) for name, network in networks.items()} for part in ("params", "batch_stats")
    )
    return state.replace(generator=NetworkState(params, batch_stats, ()), discriminator=discriminator)
