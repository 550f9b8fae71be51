"""From a config to functions: the only place where a name becomes a function.

Nothing that is built here sees the config; every builder takes plain arguments. A name that no table has ends in a
`UserError` with the nearest one that it has.
"""

import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from buresgan_jax import algorithms, data, latents, losses, metrics, networks, penalties
from buresgan_jax.config import METHODS
from buresgan_jax.errors import UserError


def choose(kind: str, name: str, table: Mapping[str, Any], key: str) -> Any:
    """The entry of a table, or a UserError that names the nearest one and the config key to set."""
    if name in table:
        return table[name]
    nearest = difflib.get_close_matches(str(name), table, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise UserError(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(sorted(table))}. Set {key} to one of these.")


# Data


def is_mixture(config) -> bool:
    """Whether the data are points of a known two-dimensional mixture."""
    return config.data.name in data.MIXTURES


def example_shape(config) -> tuple[int, ...]:
    """Shape of one example as the networks see it, known without loading the data."""
    _dataset(config)
    if is_mixture(config):
        return (2,)
    if config.data.image_size is None:
        raise UserError("config.data.image_size is not set. Set it to the height and width of the images in pixels.")
    return (config.data.image_size, config.data.image_size, config.data.channels)


def source(config) -> data.Source:
    """The training data."""
    built = _random_images(config) if config.smoke and not is_mixture(config) else _dataset(config)(config)
    if built.example_shape != example_shape(config):
        raise UserError(
            f"The data set {config.data.name!r} has examples of shape {built.example_shape}, the config says "
            f"{example_shape(config)}. Set config.data.image_size and config.data.channels."
        )
    return built


def mixture(config) -> data.Mixture:
    """The true distribution of two-dimensional data."""
    return data.MIXTURES[config.data.name]()


def _dataset(config) -> Callable:
    table = dict.fromkeys(data.MIXTURES, _mixture_source) | dict.fromkeys(data.IMAGE_SETS, _tfds_source)
    table |= {"stacked_mnist": _stacked_source, "image_folder": _folder_source}
    return choose("data set", config.data.name, table, "config.data.name")


def _mixture_source(config):
    points = config.data.num_examples
    return data.mixture_source(mixture(config), name=config.data.name, num_examples=points, seed=config.seed)


def _tfds_source(config):
    options = {"split": config.data.split, "data_dir": config.data.data_dir, "image_size": config.data.image_size}
    return data.tfds_source(config.data.name, **options)


def _stacked_source(config):
    grey = data.tfds_source(config.data.base, split=config.data.split, data_dir=config.data.data_dir)
    return data.stacked_source(grey, num_examples=config.data.num_examples or 128_000, seed=config.seed)


def _folder_source(config):
    if config.data.path is None:
        raise UserError("config.data.path is not set. Set it to a folder of images: --config.data.path=FOLDER.")
    return data.folder_source(
        config.data.path,
        image_size=config.data.image_size,
        channels=config.data.channels,
        crop=config.data.crop,
        on_broken=config.data.on_broken,
    )


def _random_images(config):
    shape = example_shape(config)
    images = np.random.default_rng(config.seed).integers(0, 256, (32, *shape), dtype=np.uint8)
    return data.Source("random images", len(images), shape, images.__getitem__, data.decode_images)


# Networks


def generator(config, axis_name: str | None) -> Any:
    """The generator's module."""
    choose("generator", config.generator.name, dict.fromkeys(("mlp", "dcgan")), "config.generator.name")
    shape, options = example_shape(config), _network_options(config.generator, axis_name)
    if config.generator.name == "mlp":
        _require_points(config, "generator", shape)
        return networks.MLPGenerator(output_dim=shape[0], hidden=_widths(config, "generator"), **options)
    _require_images(config, "generator", shape)
    options |= {"variant": config.generator.variant, "base_filters": config.generator.base_filters}
    return _user_error(networks.dcgan_generator)(shape[0], shape[-1], **options)


def discriminator(config, axis_name: str | None) -> Any:
    """The discriminator's module."""
    choose("discriminator", config.discriminator.name, dict.fromkeys(("mlp", "dcgan")), "config.discriminator.name")
    shape, options = example_shape(config), _network_options(config.discriminator, axis_name)
    if config.discriminator.name == "mlp":
        _require_points(config, "discriminator", shape)
        return networks.MLPDiscriminator(hidden=_widths(config, "discriminator"), **options)
    _require_images(config, "discriminator", shape)
    options |= {"variant": config.discriminator.variant, "base_filters": config.discriminator.base_filters}
    return _user_error(networks.dcgan_discriminator)(
        shape[0], use_batch_norm=config.discriminator.use_batch_norm, **options
    )


def _network_options(group, axis_name):
    dtypes = {"float32": None, "bfloat16": jnp.bfloat16}
    return {"axis_name": axis_name, "dtype": choose("dtype", group.dtype, dtypes, "the network's dtype")}


def _widths(config, role):
    widths = tuple(config[role].hidden)
    if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
        raise UserError(
            f"config.{role}.hidden must be the widths of the hidden layers, got {widths}. Set, say, "
            f"config.{role}.hidden=(128,128)."
        )
    return widths


def _require_points(config, role, shape):
    if len(shape) != 1:
        raise UserError(
            f"The {role} 'mlp' is for points, {config.data.name!r} has images. Set config.{role}.name=dcgan."
        )


def _require_images(config, role, shape):
    if len(shape) != 3:
        raise UserError(
            f"The {role} 'dcgan' is for images, {config.data.name!r} has points. Set config.{role}.name=mlp."
        )


def _user_error(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            raise UserError(str(error)) from error

    return wrapped


# Method


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


# Evaluation


def perfect_samples(config, n: int, seed: int) -> np.ndarray | None:
    """What a perfect generator would make, for the best value that a metric can have; None where it is not known."""
    if not is_mixture(config):
        return None
    return data.sample_mixture(mixture(config), np.arange(n), seed=seed)[0]


def evaluation(config) -> Callable[[np.ndarray], dict[str, float]] | None:
    """`samples -> {metric: value}` for the data set, None where there is no metric for it."""
    if not is_mixture(config):
        return None
    truth = mixture(config)

    def evaluate(samples):
        options = {"weights": truth.weights, "min_hits": config.evaluation.min_hits}
        statistics = metrics.mode_statistics(samples, truth.means, truth.std, **options)
        return {name: getattr(statistics, name) for name in ("modes", "high_quality_share", "reverse_kl")}

    return evaluate
