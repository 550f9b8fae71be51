"""From a config's argument to a config: the declared defaults, and what a method and its data change.

A config file is `get_config(argument)`: it takes `default(argument)`, overrides what its data set needs, and returns
`finish(config)`. The argument is a method with any number of terms or other components, or `smoke`, or both:
`--config=configs/ring.py:bures+gradient_penalty,smoke`.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import config_dict

from buresgan_jax.config import catalog, keys
from buresgan_jax.config.methods import METHODS, Method
from buresgan_jax.declarations import Component
from buresgan_jax.errors import UserError, did_you_mean, split_names
from buresgan_jax.networks.sngan import sngan_multiplier


def default(argument: str = "bures") -> config_dict.ConfigDict:
    """The config before a data set's own settings.

    Args:
        argument: `METHOD`, `METHOD+COMPONENT+...`, `smoke`, or both with a comma between them. A component is a term to
            be added, or a loss, latent distribution or algorithm to be taken; one of your own, of any kind, is written
            `package.module:object`, also in place of a method. It comes before what the config file sets.

    Raises:
        UserError: There is no such method or component.
    """
    words = split_names(argument)
    names = "+".join(word for word in words if word != "smoke") or "bures"
    config = config_dict.ConfigDict()
    for key, option in keys.general_options().items():
        keys.add_option(config, key, option)
    config.method, config.smoke = names, "smoke" in words
    _apply(config, _method_of(config).settings)
    taken = {}
    for text in _components(config):
        kind = add_component(config, text).kind
        if kind in taken and kind in keys.SLOTS:
            raise UserError(f"{names!r} takes two of one kind, {taken[kind]!r} and {text!r}. Name one {kind}.")
        taken[kind] = text
    return config


def _apply(config, settings):
    """Sets what a method sets; its terms and its algorithm bring their options first."""
    for term in settings.get("terms", ()):
        add_component(config, term)
    if "algorithm.name" in settings:
        add_component(config, settings["algorithm.name"], "algorithm")
    for key, value in settings.items():
        if key != "terms":
            set_key(config, key, value)


def _method(name):
    """The method of a name; an own component in its place stands on the plain GAN."""
    if ":" in name:
        found = catalog.load(name)
        return found if isinstance(found, Method) else METHODS["gan"]
    if name not in METHODS:
        raise UserError(
            f"Unknown method {name!r}.{did_you_mean(name, METHODS)} Available: {', '.join(sorted(METHODS))}. Set the "
            "config's argument, --config=FILE.py:METHOD, to one of these, or to your own as package.module:object."
        )
    return METHODS[name]


def _method_of(config):
    return _method(config.method.partition("+")[0].strip())


def _components(config):
    """The components that the argument names, beside or in place of a method."""
    first, *others = [name.strip() for name in config.method.split("+")]
    in_place = (first,) if ":" in first and not isinstance(catalog.load(first), Method) else ()
    return (*in_place, *others)


def add_component(config: config_dict.ConfigDict, text: str, kind: str | None = None) -> Component:
    """Adds a term to a config, or takes a component in its place, with its options at their defaults.

    Args:
        config: The config.
        text: A name, or `package.module:object`.
        kind: The kind of component. Default: the first kind that has this name, terms before all others.

    Raises:
        UserError: There is no such component, or its group is taken.
    """
    component = _find(text, kind)
    group = keys.group_of(component)
    if component.kind == "term":
        if group in config and component.key not in config.terms:
            raise UserError(f"The term {text!r} has the name of the group config.{group}. Give it another name.")
        if component.key in config.terms:
            raise UserError(f"The term {text!r} is there twice. Name it once.")
        config.terms = (*config.terms, component.key)
    elif component.kind == "metric":
        config.evaluation.metrics = ",".join(filter(None, [config.evaluation.metrics, component.key]))
    else:
        config[component.kind].name = component.key
    for option in component.options:
        keys.add_option(config, f"{group}.{option.name}", option)
    return component


def _find(text, kind):
    if kind is None and ":" in text:
        component = catalog.load(text)
        if isinstance(component, Component):
            return component
        raise UserError(f"{text!r} is a {type(component).__name__}, no component. See docs/your_own.md.")
    kinds = [kind] if kind else ["term", *keys.SLOTS]
    for each in kinds:
        if ":" in text or text in catalog.BUILT_IN[each]:
            return catalog.find(each, text, f"config.{each}.name")
    known = [name for each in ("term", "loss", "latent") for name in catalog.BUILT_IN[each]]
    raise UserError(
        f"Unknown component {text!r}.{did_you_mean(text, known)} A method takes terms, a loss or a latent "
        f"distribution: {', '.join(known)}; or your own as package.module:object."
    )


def set_key(config: config_dict.ConfigDict, key: str, value: Any) -> None:
    """Sets `group.key` of a config."""
    *groups, name = key.split(".")
    for group in groups:
        config = config[group]
    config[name] = value


def use_points(config: config_dict.ConfigDict) -> None:
    """Settings of points in the plane: intervals of many steps, as a step takes milliseconds, and the method's own."""
    config.training.log_every_steps = 500
    config.training.sample_every_steps = 2_500
    config.training.checkpoint_every_steps = 2_500
    config.evaluation.every_steps = 2_500
    _apply_on_data(config, _method_of(config).on_points)


def use_images(
    config: config_dict.ConfigDict,
    *,
    image_size: int,
    channels: int,
    learning_rates: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Settings of image sets: their shape, the paper's DCGANs and z, long steps' intervals, then the method's own.

    Args:
        config: The config.
        image_size: Height and width.
        channels: 3, or 1 for gray images.
        learning_rates: Learning rates of discriminator and generator on this data, by the name of a loss.
    """
    config.data.image_size = image_size
    config.data.channels = channels
    config.generator.name = "dcgan"
    config.discriminator.name = "dcgan"
    config.latent.dim = 100
    config.training.log_every_steps = 20
    config.training.sample_every_steps = 500
    config.training.checkpoint_every_steps = 500
    _apply_on_data(config, _settings_on_images(config))
    if config.discriminator.name == "sngan":
        config.discriminator.spectral_multiplier = sngan_multiplier(image_size)
    if config.loss.name in (learning_rates or {}):
        discriminator, generator = learning_rates[config.loss.name]
        config.optimizer.discriminator_learning_rate = discriminator
        config.optimizer.generator_learning_rate = generator


def _apply_on_data(config, settings):
    """Sets what a method sets for a kind of data. The schedule of a weight is over by the middle of the run."""
    for key, value in settings.items():
        is_schedule = key.endswith(".schedule_steps")
        set_key(config, key, min(value, config.training.num_steps // 2) if is_schedule else value)


def _settings_on_images(config):
    settings = _method_of(config).on_images
    if settings is None:
        raise UserError(f"The method {config.method!r} is for points, {config.data.name!r} has images.")
    return settings


# What the authors' ResNets are trained with.
_RESNETS = {
    "latent.dim": 128,
    "algorithm.simultaneous": False,
    "optimizer.generator_learning_rate": 5e-4,
    "optimizer.discriminator_learning_rate": 5e-4,
    "optimizer.b1": 0.0,
    "optimizer.b2": 0.9,
    "optimizer.schedule": "linear",
    "training.batch_size": 64,
}


def use_resnets(config: config_dict.ConfigDict, *, num_steps: int) -> None:
    """Settings of the paper's ResNets, on top of `use_images`: networks, z, batch and optimizer.

    What the method itself sets on images wins, but for the networks.
    """
    networks = {"generator.name": "resnet", "discriminator.name": "resnet"}
    config.training.num_steps = num_steps
    _apply_on_data(config, _RESNETS | dict(_settings_on_images(config)) | networks)


def finish(config: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The last call of every `get_config`.

    The argument's components come before those that the file has set since. There are as many packs as there would be
    samples, a schedule ends with the run, and `smoke` shrinks everything.
    """
    for component in (_find(text, None) for text in _components(config)):
        if component.kind in keys.SLOTS:
            config[component.kind].name = component.key
    config.training.batch_size *= config.discriminator.pack
    if config.optimizer.schedule != "constant" and config.optimizer.decay_steps is None:
        config.optimizer.decay_steps = config.training.get_oneway_ref("num_steps")  # also where it is overridden
    keys.complete(config)
    if config.smoke:
        for key, option in keys.declared(config).items():
            if option.has_smoke:
                set_key(config, key, option.smoke)
    return config
