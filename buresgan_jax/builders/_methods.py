"""The training algorithms."""

import functools

import jax
import optax

from buresgan_jax import algorithms, latents, losses, penalties
from buresgan_jax.builders._choose import choose
from buresgan_jax.builders._networks import discriminator, encoder, generator, reconstructor
from buresgan_jax.config import METHODS
from buresgan_jax.errors import UserError


def algorithm(config, axis_name: str | None = None) -> algorithms.Algorithm:
    """The method, as pure functions.

    Args:
        config: the whole config.
        axis_name: of the device axis that `update` will run in; None on one device.
    """
    choose("method", config.method, METHODS, "the config's argument, --config=FILE.py:METHOD,")
    builders = {
        "gan": _gan,
        "alternating": _alternating,
        "unrolled": _unrolled,
        "veegan": _veegan,
        "mdgan_v1": functools.partial(_mdgan, algorithms.mdgan_v1),
        "mdgan_v2": functools.partial(_mdgan, algorithms.mdgan_v2),
    }
    build = choose("algorithm", config.algorithm.name, builders, "config.algorithm.name")
    if config.algorithm.name != "gan" and config.algorithm.discriminator_steps != 1:
        raise UserError(
            f"config.algorithm.discriminator_steps={config.algorithm.discriminator_steps} is of the algorithm 'gan'; "
            f"{config.algorithm.name!r} has its own order of steps. Set it to 1."
        )
    _check_pack(config, 1 if axis_name is None else jax.device_count())
    return build(config, game(config, axis_name))


def _check_pack(config, num_devices):
    pack, size = config.discriminator.pack, config.training.batch_size
    unit = pack * num_devices
    if size % num_devices == 0 and size % unit:
        raise UserError(
            f"config.training.batch_size {size} cannot be cut into packs of {pack} on each of {num_devices} device(s). "
            f"Set it to a multiple of {unit}, such as {max(1, round(size / unit)) * unit}."
        )


def _gan(config, game):
    options = {name: config.algorithm[name] for name in ("discriminator_steps", "simultaneous")}
    return algorithms.gan(game, **options)


def _alternating(config, game):
    if not game.generator_penalties:
        raise UserError("The algorithm 'alternating' needs a penalty, config.penalty.name is None. Set it to bures.")
    return algorithms.alternating(game)


def _unrolled(config, game):
    options = {name: config.algorithm[name] for name in ("unrolled_steps", "first_order", "reference_compat")}
    if config.optimizer.eps_root <= 0 and not (config.algorithm.first_order or config.algorithm.reference_compat):
        raise UserError(
            f"The algorithm 'unrolled' differentiates through the optimizer, config.optimizer.eps_root is "
            f"{config.optimizer.eps_root}. Set it above 0, such as 1e-30, or config.algorithm.first_order=True."
        )
    return algorithms.unrolled(game, **options)


def _veegan(config, game):
    fixed = {"loss.name": "non_saturating", "penalty.name": None, "discriminator_penalty.name": None}
    for key, value in fixed.items():
        group, name = key.split(".")
        if config[group][name] != value:
            raise UserError(
                f"The algorithm 'veegan' has its own losses, no others: config.{key} must be {value}. Take the method "
                "veegan, --config=FILE.py:veegan, without it."
            )
    return algorithms.veegan(game, reconstructor(config, game.axis_name))


def _mdgan(algorithm, config, game):
    names = ("reconstruction_weight", "mode_weight", "reference_compat")
    options = {name: config.algorithm[name] for name in names}
    return algorithm(game, encoder(config, game.axis_name), **options)


def game(config, axis_name: str | None) -> algorithms.Game:
    """Networks, losses, penalties and optimizers."""
    latent = {"normal": latents.normal, "uniform": latents.uniform}
    loss = {"non_saturating": losses.non_saturating, "hinge": losses.hinge, "wasserstein": losses.wasserstein}
    terms = _penalties(config)
    return algorithms.Game(
        generator=generator(config, axis_name),
        discriminator=discriminator(config, axis_name),
        latent=choose("latent", config.latent.name, latent, "config.latent.name")(config.latent.dim),
        loss=choose("loss", config.loss.name, loss, "config.loss.name")(),
        generator_optimizer=_optimizer(config, config.optimizer.generator_learning_rate),
        discriminator_optimizer=_optimizer(config, config.optimizer.discriminator_learning_rate),
        generator_penalties=terms,
        discriminator_penalties=_discriminator_penalties(config),
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
        "gdpp": functools.partial(penalties.gdpp_penalty, signed=config.algorithm.reference_compat),
    }
    distance = choose("penalty", config.penalty.name, table, "config.penalty.name")
    choose("scale", config.penalty.scale, dict.fromkeys(("sum", "mean")), "config.penalty.scale")
    choose("method of the penalty", config.penalty.method, dict.fromkeys(penalties.METHODS), "config.penalty.method")
    rows = config.training.batch_size // config.discriminator.pack
    rows = min(rows, config.penalty.max_samples or rows)
    if rows < 2:
        raise UserError(
            f"The penalty {config.penalty.name!r} compares how features vary, which one row cannot tell. Set "
            "config.training.batch_size to at least 2 packs, and config.penalty.max_samples to at least 2."
        )
    term = functools.partial(_feature_penalty, distance, config.penalty.max_samples)
    return (algorithms.Penalty(config.penalty.name, config.penalty.weight, term),)


def _feature_penalty(distance, max_samples, step, key):
    fake, real = step.outputs.fake_features, step.outputs.real_features
    if max_samples is not None and max_samples < fake.shape[0]:
        fake_key, real_key = jax.random.split(key)
        fake = fake[jax.random.permutation(fake_key, fake.shape[0])[:max_samples]]
        real = real[jax.random.permutation(real_key, real.shape[0])[:max_samples]]
    return distance(fake, real)


def _discriminator_penalties(config):
    options = config.discriminator_penalty
    if options.name is None:
        return ()
    function = choose("penalty", options.name, {"gradient": _gradient_penalty}, "config.discriminator_penalty.name")
    if config.discriminator.name == "dcgan" and config.discriminator.use_batch_norm:
        raise UserError(
            "The gradient penalty is about single samples, and batch norm mixes them. Set "
            "config.discriminator.use_batch_norm=False."
        )
    return (algorithms.Penalty(f"{options.name}_penalty", options.weight, function),)


def _gradient_penalty(step, key):
    positions = step.share(jax.random.uniform(key, step.outputs.real_outputs.shape[:1], step.local.real.dtype))
    judge = step.discriminate
    return penalties.gradient_penalty(lambda x: judge(x)[0], step.local.real, step.local.fake, positions)


def _optimizer(config, learning_rate):
    options = config.optimizer
    choose("optimizer", options.name, {"adam": None}, "config.optimizer.name")
    schedules = {"constant": None, "linear": optax.linear_schedule, "cosine": optax.cosine_decay_schedule}
    choose("schedule", options.schedule, schedules, "config.optimizer.schedule")
    if options.schedule != "constant" and options.decay_steps is None:
        raise UserError(
            f"The schedule {options.schedule!r} needs the step at which it reaches 0. Set config.optimizer.decay_steps."
        )
    if options.schedule != "constant" and options.decay_steps < config.training.num_steps:
        raise UserError(
            f"From config.optimizer.decay_steps={options.decay_steps} on the learning rate is 0, and "
            f"config.training.num_steps={config.training.num_steps} is beyond it. Set both."
        )
    schedule = {
        "constant": lambda: optax.constant_schedule(1.0),
        "linear": lambda: optax.linear_schedule(1.0, 0.0, options.decay_steps),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, options.decay_steps),
    }[options.schedule]()
    adam = optax.scale_by_adam(options.b1, options.b2, options.eps, options.eps_root)
    return algorithms.Optimizer(adam, learning_rate, schedule)
