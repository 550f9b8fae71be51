"""The networks."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import networks
from buresgan_jax.builders._choose import choose, user_error
from buresgan_jax.builders._data import example_shape
from buresgan_jax.errors import UserError

_KINDS = dict.fromkeys(("mlp", "dcgan", "resnet"))


def generator(config, axis_name: str | None) -> Any:
    """The generator's module."""
    choose("generator", config.generator.name, _KINDS, "config.generator.name")
    _require_kind(config, "generator")
    shape, options = example_shape(config), _network_options(config.generator, axis_name)
    if config.generator.name == "mlp":
        return networks.MLPGenerator(output_dim=shape[0], hidden=_widths(config, "generator"), **options)
    if config.generator.name == "resnet":
        return user_error(networks.resnet_generator)(shape[0], shape[-1], width=config.generator.width, **options)
    options |= {"variant": config.generator.variant, "base_filters": config.generator.base_filters}
    return user_error(networks.dcgan_generator)(shape[0], shape[-1], **options)


def discriminator(config, axis_name: str | None) -> Any:
    """The discriminator's module: of samples, of pairs (z, sample) for VEEGAN, or of packs of either."""
    choose("discriminator", config.discriminator.name, _KINDS, "config.discriminator.name")
    _require_kind(config, "discriminator")
    pairs = config.algorithm.name == "veegan"
    build = {"mlp": _mlp_discriminator, "dcgan": _dcgan_discriminator, "resnet": _resnet_discriminator}
    single = build[config.discriminator.name](config, pairs, _network_options(config.discriminator, axis_name))
    return single if config.discriminator.pack == 1 else networks.Packed(single, config.discriminator.pack)


def _mlp_discriminator(config, pairs, options):
    kind = networks.MLPPairDiscriminator if pairs else networks.MLPDiscriminator
    return kind(hidden=_widths(config, "discriminator"), **options)


def _dcgan_discriminator(config, pairs, options):
    options |= {name: config.discriminator[name] for name in ("variant", "base_filters", "use_batch_norm")}
    if pairs:
        widths = _widths(config, "discriminator", "pair_hidden")
        options |= {"kind": networks.DCGANPairDiscriminator, "hidden": widths}
    return user_error(networks.dcgan_discriminator)(example_shape(config)[0], **options)


def _resnet_discriminator(config, pairs, options):
    options["width"] = config.discriminator.width
    if pairs:
        widths = _widths(config, "discriminator", "pair_hidden")
        options |= {"kind": networks.ResNetPairDiscriminator, "hidden": widths}
    return user_error(networks.resnet_discriminator)(example_shape(config)[0], **options)


def encoder(config, axis_name: str | None) -> Any:
    """MDGAN's encoder, of the generator's size: fully connected for points, else convolutions."""
    options = _network_options(config.generator, axis_name)
    if config.generator.name == "mlp":
        return networks.MLPEncoder(config.latent.dim, _widths(config, "encoder"), **options)
    size, _, channels = example_shape(config)
    options["base_filters"] = config.generator.base_filters
    return networks.dcgan_encoder(size, channels, config.latent.dim, **options)


def reconstructor(config, axis_name: str | None) -> Any:
    """VEEGAN's reconstructor: fully connected, for images too."""
    options = _network_options(config.generator, axis_name)
    return networks.MLPEncoder(config.latent.dim, _widths(config, "encoder"), nn.relu, **options)


def _network_options(group, axis_name):
    dtypes = {"float32": None, "bfloat16": jnp.bfloat16}
    return {"axis_name": axis_name, "dtype": choose("dtype", group.dtype, dtypes, "the network's dtype")}


def _widths(config, role, key="hidden"):
    widths = tuple(config[role][key])
    if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
        raise UserError(
            f"config.{role}.{key} must be the widths of the hidden layers, got {widths}. Set, say, "
            f"config.{role}.{key}=(128,128)."
        )
    return widths


def _require_kind(config, role):
    """Points need fully connected networks, images the others."""
    is_points = len(example_shape(config)) == 1
    name, has, fitting = config[role].name, *(("points", "mlp") if is_points else ("images", "dcgan"))
    needs = "points" if name == "mlp" else "images"
    if needs != has:
        raise UserError(
            f"The {role} {name!r} is for {needs}, {config.data.name!r} has {has}. Set config.{role}.name={fitting}."
        )
