"""The training data."""

import numpy as np

from buresgan_jax import config as config_lib
from buresgan_jax import data
from buresgan_jax.declarations import Component
from buresgan_jax.errors import UserError

_NUM_RANDOM_IMAGES = 32  # of a smoke run


def describe(config) -> data.Description:
    """Describes the training data before they are opened."""
    component = _component(config)
    description = component.facts["describe"](**component.options_in(config.data))
    if _has_random_images(config, description):
        return data.Description(description.example_shape)  # they have no classes
    return description


def has_splits(config) -> bool:
    """Whether the data set has splits, such as train and test."""
    return "split" in _component(config).own_names


def source(config) -> data.Source:
    """Opens the training data; a smoke run on images gets random ones."""
    component, expected = _component(config), describe(config)
    if _has_random_images(config, expected):
        return _random_images(expected.example_shape, config.seed)
    opened = component(seed=config.seed, **component.options_in(config.data))
    if opened.example_shape != expected.example_shape:
        raise UserError(
            f"The data set {config.data.name!r} has examples of shape {opened.example_shape}, but the config says "
            f"{expected.example_shape}. Set config.data.image_size and config.data.channels."
        )
    return opened


def data_fingerprint(config) -> str | None:
    """Returns a text that differs when the files of the training data do; None for data without files."""
    component = _component(config)
    fingerprint = component.facts["fingerprint"]
    if fingerprint is None or _has_random_images(config, describe(config)):
        return None
    return fingerprint(**component.options_in(config.data))


def data_places(config) -> set[str]:
    """Returns the keys that say where the files of the training data lie."""
    component = _component(config)
    if component.facts["fingerprint"] is None:
        return set()
    return {f"data.{each.name}" for each in component.options if each.is_free and each.name in component.own_names}


def source_key(config) -> tuple:
    """Everything that `source` depends on: configs with equal keys have equal training data."""
    is_drawn = config.smoke or _component(config).facts["is_drawn"]
    return str(config.data), config.smoke, config.seed if is_drawn else None


def _component(config) -> Component:
    return config_lib.find("data", config.data.name, "config.data.name")


def _has_random_images(config, description: data.Description) -> bool:
    return config.smoke and description.kind == "images"


def _random_images(example_shape: tuple[int, ...], seed: int) -> data.Source:
    shape = (_NUM_RANDOM_IMAGES, *example_shape)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return data.Source("random images", len(images), example_shape, images.__getitem__, data.decode_images)
