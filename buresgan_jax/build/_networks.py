"""The two players' networks."""

from typing import Any

import jax.numpy as jnp

from buresgan_jax import networks
from buresgan_jax.build._choose import choose, user_error
from buresgan_jax.build._data import example_shape
from buresgan_jax.errors import UserError


def generator(config, axis_name: str | None) -> Any:
    """The generator's module."""
    choose("generator", config.generator.name, dict.fromkeys(("mlp", "dcgan")), "config.generator.name")
    shape, options = example_shape(config), _network_options(config.generator, axis_name)
    if config.generator.name == "mlp":
        _require_points(config, "generator", shape)
        return networks.MLPGenerator(output_dim=shape[0], hidden=_widths(config, "generator"), **options)
    _require_images(config, "generator", shape)
    options |= {"variant": config.generator.variant, "base_filters": config.generator.base_filters}
    return user_error(networks.dcgan_generator)(shape[0], shape[-1], **options)


def discriminator(config, axis_name: str | None) -> Any:
    """The discriminator's module."""
    choose("discriminator", config.discriminator.name, dict.fromkeys(("mlp", "dcgan")), "config.discriminator.name")
    shape, options = example_shape(config), _network_options(config.discriminator, axis_name)
    if config.discriminator.name == "mlp":
        _require_points(config, "discriminator", shape)
        return networks.MLPDiscriminator(hidden=_widths(config, "discriminator"), **options)
    _require_images(config, "discriminator", shape)
    options |= {"variant": config.discriminator.variant, "base_filters": config.discriminator.base_filters}
    return user_error(networks.dcgan_discriminator)(
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
