"""The training algorithms."""

import jax
import jax.numpy as jnp
import optax

from buresgan_jax import algorithms, latents, losses
from buresgan_jax import config as config_lib
from buresgan_jax.builders._networks import discriminator, generator, module
from buresgan_jax.declarations import Component
from buresgan_jax.errors import UserError, user_error


def algorithm(config, axis_name: str | None = None) -> algorithms.Algorithm:
    """The method, as pure functions.

    Args:
        config: The whole config.
        axis_name: Name of the device axis that `update` will run in; None on one device.

    Raises:
        UserError: A name that stands for nothing, a value out of range, or choices that do not go together.
    """
    config_lib.check(config)
    check_batch_size(config, 1 if axis_name is None else jax.device_count())
    component = config_lib.chosen(config)["algorithm.name"]
    options = component.options_in(config.algorithm)
    options |= {name: module(config, name, axis_name) for name in component.facts["modules"]}
    built = user_error(component.build)(game(config, axis_name), **options)
    return _checked(built, algorithms.Algorithm, component, "algorithms.make_algorithm(game, update)")


def check_batch_size(config, num_devices: int, num_examples: int | None = None) -> None:
    """Checks that every device gets whole packs; or, given the size of the data set, that a batch is not larger.

    Args:
        config: The whole config, whose values are within their limits.
        num_devices: Number of devices that share a batch.
        num_examples: Size of the data set. Default: unknown, or endless.

    Raises:
        UserError: It is not so. The message suggests a batch size that fits devices, packs, terms and data.
    """
    pack, size, unit = config.discriminator.pack, config.training.batch_size, config.discriminator.pack * num_devices
    if size % unit == 0 if num_examples is None else size <= num_examples:
        return
    problem = f"cannot be cut into packs of {pack} on each of {num_devices} device(s)"
    if num_examples is not None:
        problem = f"is more than the {num_examples} examples of the data set"
    elif pack == 1:
        problem = f"is not divisible by the {num_devices} devices"
    least = -(-2 * pack // unit) * unit  # two packs, for terms that compare them
    most = min(size, num_examples or size) // unit * unit
    hint = f"Set it to a multiple of {unit}, such as {max(least, most)}"
    if num_examples is not None and most < least:
        hint = f"Use at least {least} examples"
    raise UserError(
        f"config.training.batch_size {size} {problem}. {hint}. A stopped run keeps its batch size: resume it with as "
        "many examples, and on a number of devices that divides it."
    )


def _checked(built, kind, component, hint):
    """What a component built, if it is of the right type."""
    if not isinstance(built, kind):
        raise UserError(
            f"The {component.kind} {component.key!r} returned a {type(built).__name__}, no {kind.__name__}. Return "
            f"{hint}."
        )
    return built


def _latent(component, dim, options):
    latent = user_error(component.build)(dim, **options)
    _checked(latent, latents.Latent, component, "latents.Latent(dim, sample)")
    arrays = () if latent.preparation is None else latent.preparation.like
    shape = jax.eval_shape(lambda arrays, key: latent.sample(arrays, key, 2), arrays, jax.random.key(0)).shape
    if shape != (2, dim):
        raise UserError(f"The latent {component.key!r} draws 2 rows of shape {shape}, config.latent.dim is {dim}.")
    if latent.centers is not None:
        shape = jax.eval_shape(latent.centers, arrays).shape
        if len(shape) != 2 or shape[1] != dim:
            raise UserError(f"The centers of the latent {component.key!r} have the shape {shape}. Return [n, {dim}].")
    return latent


def _loss(component, output_dim, options):
    loss = user_error(component.build)(**options)
    _checked(loss, losses.AdversarialLoss, component, "losses.AdversarialLoss(discriminator, generator)")
    outputs = jax.ShapeDtypeStruct((2, output_dim), jnp.float32)
    for player in ("discriminator", "generator"):
        value = jax.eval_shape(getattr(loss, player), outputs, outputs)
        shape = (value[0] if isinstance(value, tuple) else value).shape
        if shape != ():
            raise UserError(f"The {player}'s loss of {component.key!r} has the shape {shape}. Return a scalar.")
    return loss


def game(config, axis_name: str | None) -> algorithms.Game:
    """Networks, losses, terms and optimizers."""
    chosen = config_lib.chosen(config)
    latent, loss = chosen["latent.name"], chosen["loss.name"]
    terms = {"generator": [], "discriminator": []}
    for key, component in chosen.items():
        if key.startswith("terms."):
            terms[component.facts["player"]].append(term(component, config[component.name]))
    return algorithms.Game(
        generator=generator(config, axis_name),
        discriminator=discriminator(config, axis_name, sees_pairs=chosen["algorithm.name"].facts["sees_pairs"]),
        latent=_latent(latent, config.latent.dim, latent.options_in(config.latent)),
        loss=_loss(loss, config.discriminator.output_dim, loss.options_in(config.loss)),
        generator_optimizer=_optimizer(config, config.optimizer.generator_learning_rate),
        discriminator_optimizer=_optimizer(config, config.optimizer.discriminator_learning_rate),
        generator_terms=tuple(terms["generator"]),
        discriminator_terms=tuple(terms["discriminator"]),
        pack=config.discriminator.pack,
        generator_objective_scale=config.algorithm.objective_scale,
        ema_decay=config.training.ema_decay,
        axis_name=axis_name,
    )


def term(component: Component, options) -> algorithms.Term:
    """A term with the options of its group; those that are traced are read from the state at each step."""
    own = [option for option in component.options if option.name in component.own_names]
    fixed = {option.name: options[option.name] for option in own if not option.is_traced}
    traced = {option.name: f"{component.name}_{option.name}" for option in own if option.is_traced}

    def function(step, key):
        values = {name: step.state.hyperparameters[entry] for name, entry in traced.items()}
        return component.build(**fixed, **values)(step, key)

    memory = component.facts["memory"]
    return algorithms.Term(
        component.name,
        options.weight,
        function,
        schedule(options.schedule, options.schedule_start, options.schedule_end, options.schedule_steps),
        {entry: options[name] for name, entry in traced.items()},
        None if memory is None else memory(**fixed),
    )


def schedule(kind: str, start: float, end: float, num_steps: int) -> optax.Schedule:
    """`step -> factor`: from `start` to `end` within so many steps, then constant.

    `constant` is always 1. `staircase` multiplies `start` by `end` at each multiple of `num_steps`.
    """
    if kind == "constant":
        return optax.constant_schedule(1.0)
    if kind == "linear":
        return optax.linear_schedule(start, end, num_steps)
    if kind == "staircase":
        return optax.exponential_decay(start, num_steps, end, staircase=True)
    cosine = optax.cosine_decay_schedule(1.0, num_steps)
    return lambda step: end + (start - end) * cosine(step)


def _optimizer(config, learning_rate):
    options = config.optimizer
    is_scheduled, end = options.schedule != "constant", options.schedule_end
    if is_scheduled and options.decay_steps is None:
        raise UserError(
            f"The schedule {options.schedule!r} needs the step at which it ends. Set config.optimizer.decay_steps."
        )
    if is_scheduled and end == 0 and options.decay_steps < config.training.num_steps:
        raise UserError(
            f"From config.optimizer.decay_steps={options.decay_steps} on the learning rate is 0, and "
            f"config.training.num_steps={config.training.num_steps} is beyond it. Set both, or "
            "config.optimizer.schedule_end."
        )
    adam = optax.scale_by_adam(options.b1, options.b2, options.eps, options.eps_root)
    return algorithms.Optimizer(adam, learning_rate, schedule(options.schedule, 1.0, end, options.decay_steps or 1))
