"""The training data."""

from collections.abc import Callable

import numpy as np

from buresgan_jax import data
from buresgan_jax.errors import UserError, choose


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


def describe(config) -> data.Description:
    """What is known of the training data before they are opened."""
    truth = mixture(config) if is_mixture(config) else None
    digits = config.data.base if config.data.name == "stacked_mnist" and not config.smoke else None
    return data.Description(example_shape(config), truth, digits=digits)


def has_splits(config) -> bool:
    """Whether the data set has splits, such as train and test."""
    return config.data.name != "image_folder"


def source(config) -> data.Source:
    """The training data."""
    built = _random_images(config) if config.smoke and not is_mixture(config) else _dataset(config)(config)
    if built.example_shape != example_shape(config):
        raise UserError(
            f"The data set {config.data.name!r} has examples of shape {built.example_shape}, the config says "
            f"{example_shape(config)}. Set config.data.image_size and config.data.channels."
        )
    return built


def source_key(config) -> tuple:
    """What `source` depends on: configs with equal keys have equal training data."""
    is_drawn = is_mixture(config) or config.smoke or config.data.name == "stacked_mnist"
    return str(config.data), config.smoke, config.seed if is_drawn else None


def mixture(config) -> data.Mixture:
    """The true distribution of two-dimensional data."""
    return data.MIXTURES[config.data.name]()


def _dataset(config) -> Callable:
    table = dict.fromkeys(data.MIXTURES, _mixture_source) | dict.fromkeys(data.IMAGE_SETS, _tfds_source)
    table |= {"stacked_mnist": stacked_source, "tfds": _any_tfds_source, "image_folder": _folder_source}
    return choose("data set", config.data.name, table, "config.data.name")


def _mixture_source(config):
    points = config.data.num_examples
    return data.mixture_source(mixture(config), name=config.data.name, num_examples=points, seed=config.seed)


def _tfds_source(config):
    options = {"split": config.data.split, "data_dir": config.data.data_dir, "image_size": config.data.image_size}
    return data.tfds_source(config.data.name, **options)


def _any_tfds_source(config):
    options = {name: config.data[name] for name in ("split", "data_dir", "image_size", "channels")}
    crop = None if config.data.crop == "center" else _crop(config)  # None: the set's own, from the center too
    return data.tfds_source(config.data.base, crop=crop, **options)


def stacked_source(config) -> data.Source:
    """Stacked MNIST."""
    gray = data.tfds_source(config.data.base, split=config.data.split, data_dir=config.data.data_dir)
    return data.stacked_source(gray, num_examples=config.data.num_examples or 128_000, seed=config.seed)


def _folder_source(config):
    if config.data.path is None:
        raise UserError("config.data.path is not set. Set it to a folder of images: --config.data.path=FOLDER.")
    return data.folder_source(
        config.data.path,
        image_size=config.data.image_size,
        channels=config.data.channels,
        crop=_crop(config),
        on_broken=config.data.on_broken,
    )


def _crop(config):
    return int(config.data.crop) if config.data.crop.isdecimal() else config.data.crop


def _random_images(config):
    shape = example_shape(config)
    images = np.random.default_rng(config.seed).integers(0, 256, (32, *shape), dtype=np.uint8)
    return data.Source("random images", len(images), shape, images.__getitem__, data.decode_images)
