"""The training data."""

from typing import Any

import numpy as np

from buresgan_jax import data
from buresgan_jax.builders._choose import choose
from buresgan_jax.declarations import Component
from buresgan_jax.errors import UserError

_NUM_RANDOM_IMAGES = 32  # of a smoke run

_DATA_SETS = {each.name: each for each in vars(data).values() if isinstance(each, Component)}


def describe(config) -> data.Description:
    """Describes the training data before they are opened."""
    component = _component(config)
    description = component.facts["describe"](**_options(config, component))
    if _has_random_images(config, description):
        return data.Description(description.example_shape)  # they have no classes
    return description


def source(config) -> data.Source:
    """Opens the training data; a smoke run on images gets random ones."""
    component, expected = _component(config), describe(config)
    if _has_random_images(config, expected):
        return _random_images(expected.example_shape, config.seed)
    opened = component(seed=config.seed, **_options(config, component))
    if opened.example_shape != expected.example_shape:
        raise UserError(
            f"The data set {config.data.name!r} has examples of shape {opened.example_shape}, but the config says "
            f"{expected.example_shape}. Set config.data.image_size and config.data.channels."
        )
    return opened


def source_key(config) -> tuple:
    """Everything that `source` depends on: configs with equal keys have equal training data."""
    is_drawn = config.smoke or _component(config).facts["is_drawn"]
    return str(config.data), config.smoke, config.seed if is_drawn else None


def _component(config) -> Component:
    return choose("data set", config.data.name, _DATA_SETS, "config.data.name")


def _options(config, component: Component) -> dict[str, Any]:
    """Values of the component's own options; the declared default where a config has no such key."""
    own = (option for option in component.options if option.name in component.own_names)
    return {option.name: config.data.get(option.name, option.default) for option in own}


def _has_random_images(config, description: data.Description) -> bool:
    return config.smoke and description.kind == "images"


def _random_images(example_shape: tuple[int, ...], seed: int) -> data.Source:
    shape = (_NUM_RANDOM_IMAGES, *example_shape)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return data.Source("random images", len(images), example_shape, images.__getitem__, data.decode_images)


# For modules that do not use `describe` yet.


def is_mixture(config) -> bool:
    """Whether the data are points of a known mixture."""
    return describe(config).mixture is not None


def mixture(config) -> data.Mixture:
    """The true distribution of the points."""
    return describe(config).mixture


def example_shape(config) -> tuple[int, ...]:
    """Shape of one example as the networks see it."""
    return describe(config).example_shape


def stacked_source(config) -> data.Source:
    """The stacked images."""
    gray = data.tfds_source(config.data.base, split=config.data.split, data_dir=config.data.data_dir)
    return data.stacked_source(gray, num_examples=config.data.num_examples or 128_000, seed=config.seed)
