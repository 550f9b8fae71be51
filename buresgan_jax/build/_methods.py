"""The training algorithms."""

import functools

import jax
import optax

from buresgan_jax import algorithms, latents, losses, penalties
from buresgan_jax.build._choose import choose
from buresgan_jax.build._networks import discriminator, generator
from buresgan_jax.config import METHODS
from buresgan_jax.errors import UserError


def algorithm(config, axis_name: str | None = None) -> algorithms.Algorithm:
    """The method, as pure functions.

    Args:
        config: the whole config.
        axis_name: of the device axis that `update` will run in; None on one device.
    """
    choose("method", config.method, METHODS, "the config's argument, --config=FILE.py:METHOD,")
    builders = {"gan": _gan, "alternating": _alternating}
    return choose("algorithm", config.algorithm.name, builders, "config.algorithm.name")(
        config, game(config, axis_name)
    )


def _gan(config, game):
    options = {name: config.algorithm[name] for name in ("discriminator_steps", "simultaneous")}
    return algorithms.gan(game, **options)


def _alternating(config, game):
    if not game.generator_penalties:
        raise UserError("The algorithm 'alternating' needs a penalty, config.penalty.name is None. Set it to bures.")
    return algorithms.alternating(game)


def game(config, axis_name: str | None) -> algorithms.Game:
    """Networks, losses, penalties and optimisers."""
    latent = {"normal": latents.normal, "uniform": latents.uniform}
    loss = {"non_saturating": losses.non_saturating}
    terms = _penalties(config)
    return algorithms.Game(
        generator=generator(config, axis_name),
        discriminator=discriminator(config, axis_name),
        latent=choose("latent", config.latent.name, latent, "config.latent.name")(config.latent.dim),
        loss=choose("loss", config.loss.name, loss, "config.loss.name")(),
        generator_optimizer=_optimizer(config, config.optimizer.generator_learning_rate),
        discriminator_optimizer=_optimizer(config, config.optimizer.discriminator_learning_rate),
        generator_penalties=terms,
        # The authors' joint objective is (loss + penalty) / 2.
        generator_objective_scale=0.5 if terms else 1.0,
        ema_decay=config.training.ema_decay,
        axis_name=axis_name,
    )


def _penalties(config):
    if config.penalty.name is None:
        return ()
    bures_options = {"method": config.penalty.method, "rtol": config.penalty.rtol}
    table = {
        "bures": functools.partial(penalties.bures_penalty, scale=config.penalty.scale, **bures_options),
        "frobenius": functools.partial(penalties.frobenius_penalty, scale=config.penalty.scale),
    }
    distance = choose("penalty", config.penalty.name, table, "config.penalty.name")
    choose("scale", config.penalty.scale, dict.fromkeys(("sum", "mean")), "config.penalty.scale")
    choose("method of the penalty", config.penalty.method, dict.fromkeys(penalties.METHODS), "config.penalty.method")
    term = functools.partial(_feature_penalty, distance, config.penalty.max_samples)
    return (algorithms.Penalty(config.penalty.name, config.penalty.weight, term),)


def _feature_penalty(distance, max_samples, step, key):
    fake, real = step.outputs.fake_features, step.outputs.real_features
    if max_samples is not None and max_samples < fake.shape[0]:
        fake_key, real_key = jax.random.split(key)
        fake = fake[jax.random.permutation(fake_key, fake.shape[0])[:max_samples]]
        real = real[jax.random.permutation(real_key, real.shape[0])[:max_samples]]
    return distance(fake, real)


def _optimizer(config, learning_rate):
    options = config.optimizer
    choose("optimizer", options.name, {"adam": None}, "config.optimizer.name")
    schedules = {"constant": None, "linear": optax.linear_schedule, "cosine": optax.cosine_decay_schedule}
    choose("schedule", options.schedule, schedules, "config.optimizer.schedule")
    if options.schedule != "constant" and options.decay_steps is None:
        raise UserError(
            f"The schedule {options.schedule!r} needs the step at which it reaches 0. Set config.optimizer.decay_steps."
        )
    schedule = {
        "constant": lambda: optax.constant_schedule(1.0),
        "linear": lambda: optax.linear_schedule(1.0, 0.0, options.decay_steps),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, options.decay_steps),
    }[options.schedule]()
    return algorithms.Optimizer(optax.scale_by_adam(options.b1, options.b2, options.eps), learning_rate, schedule)
