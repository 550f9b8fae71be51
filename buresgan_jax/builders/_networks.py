"""The networks."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import config as config_lib
from buresgan_jax import networks
from buresgan_jax.builders._data import describe
from buresgan_jax.errors import UserError, user_error

_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def generator(config, axis_name: str | None) -> Any:
    """The generator's module."""
    return _build(config, "generator", axis_name)


def discriminator(config, axis_name: str | None, *, sees_pairs: bool = False) -> Any:
    """The discriminator's module: of samples, or of pairs (z, sample)."""
    component, options = config_lib.chosen(config)["discriminator.name"], config.discriminator
    if sees_pairs and not component.facts["takes_pairs"]:
        raise UserError(
            f"The discriminator {component.name!r} takes samples, and the algorithm {config.algorithm.name!r} shows it "
            "pairs (z, sample). Declare it with takes_pairs=True, or take another one."
        )
    output_dim = 2 * options.output_dim if options.sampled_outputs else options.output_dim
    more = {"output_dim": output_dim} | ({"pairs": True} if sees_pairs else {})
    network = _build(config, "discriminator", axis_name, **more)
    if options.sampled_outputs:
        network = networks.SampledOutputs(network, axis_name)
    if options.spectral_norm == "none":
        return network
    return networks.SpectralNormalization(
        network, options.spectral_norm, options.spectral_multiplier, options.spectral_warm_up
    )


def _build(config, role, axis_name, **more):
    component, data = config_lib.chosen(config)[f"{role}.name"], describe(config)
    if component.facts["data"] not in ("any", data.kind):
        fitting = "mlp" if data.kind == "points" else "dcgan"
        raise UserError(
            f"The {role} {component.name!r} is for {component.facts['data']}, {config.data.name!r} has {data.kind}. "
            f"Set config.{role}.name={fitting}."
        )
    options = component.options_in(config[role]) | {"dtype": _DTYPES[config[role].dtype], **more}
    return user_error(component.build)(data.example_shape, axis_name=axis_name, **options)


def module(config, name: str, axis_name: str | None) -> nn.Module:
    """A further network that an algorithm asks for by name.

    Args:
        config: The config.
        name: `encoder` (MDGAN's, of the generator's size: fully connected for points, else convolutions), or
            `reconstructor` (VEEGAN's, fully connected for images too).
        axis_name: Name of the device axis; None on one device.
    """
    options = {"axis_name": axis_name, "dtype": _DTYPES[config.generator.dtype]}
    hidden, data = tuple(config.encoder.hidden), describe(config)
    if name == "reconstructor":
        return networks.MLPEncoder(config.latent.dim, hidden, nn.relu, **options)
    if name != "encoder":
        raise UserError(f"An algorithm asks for the module {name!r}. Available: encoder, reconstructor.")
    if data.kind == "points":
        return networks.MLPEncoder(config.latent.dim, hidden, **options)
    size, _, channels = data.example_shape
    options["base_filters"] = config.generator.base_filters
    return user_error(networks.dcgan_encoder)(size, channels, config.latent.dim, **options)
