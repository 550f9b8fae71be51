"""Augmentation: random changes of the examples, made on the device each time that they are used."""

import jax
import jax.numpy as jnp

from buresgan_jax.data.source import Source


def random_flips(images: jax.Array, key: jax.Array, index: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability 1/2.

    Args:
        images: Decoded images, shape `[..., height, width, channels]`.
        key: Key of the training step.
        index: Numbers of the images in the data set, integers, shape `[...]`.

    Returns:
        The images, shape and dtype unchanged. Whether one is mirrored depends on the key and its own number only, so
        that it does not matter which device has it.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index.ravel())
    is_mirrored = jax.vmap(jax.random.bernoulli)(keys).reshape(*index.shape, 1, 1, 1)
    return jnp.where(is_mirrored, images[..., ::-1, :], images)


def with_flips(source: Source, flip: bool) -> Source:
    """Adds random flips to a source of images if `flip` is true.

    Args:
        source: A source of images.
        flip: The option `flip` of a data set.

    Returns:
        The source, with `random_flips` as its augmentation or unchanged.
    """
    return source._replace(augment=random_flips) if flip else source
