"""Refuses what cannot fit into memory, before it is allocated: lower bounds from the config and from traced shapes."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.extend
import numpy as np

from buresgan_jax import builders
from buresgan_jax import config as config_lib
from buresgan_jax.algorithms import Algorithm
from buresgan_jax.runtime import memory
from buresgan_jax.training import devices, sampling

_FLOAT = 4  # bytes
_ORDER = 16  # bytes of an example's random number and its place in the order of an epoch


def check_config(config, algorithm: Algorithm) -> None:
    """Checks the sizes that follow from single keys.

    Args:
        config: The resolved config, whose values are within their limits.
        algorithm: Its algorithm.

    Raises:
        UserError: The batches of an update, the order of the examples, or the samples of an evaluation do not fit.
    """
    shape = builders.describe(config).example_shape
    example = int(np.prod(shape, dtype=object)) * _FLOAT
    rows = config.training.batch_size * algorithm.batches_per_update // jax.device_count()
    what = f"the real and latent batches of an update ({rows:,} rows on a device)"
    _require(config, what, rows * (example + config.latent.dim * _FLOAT), devices.device_bytes())
    host = memory.host_bytes()
    number = config.data.num_examples
    if number and not config_lib.unread(config, ["data.num_examples"]):
        stored = example if len(shape) == 1 else 0
        _require(config, "the examples and their order", number * (stored + _ORDER), host, "data.num_examples")
    check_evaluation(config)


def check_evaluation(config) -> None:
    """Checks that the samples of an evaluation, if there is one, fit; raises UserError like `check_config`."""
    description, number = builders.describe(config), config.evaluation.num_samples
    if description.kind == "images" and description.classifier is None and not config.evaluation.metrics:
        return  # points are drawn for pictures too
    # One array, and the batch that is copied into it.
    needed = (number + sampling.BATCH) * int(np.prod(description.example_shape, dtype=object)) * _FLOAT
    _require(config, "the samples of an evaluation", needed, memory.host_bytes(), "evaluation.num_samples")


def check_state(config, state: Any) -> int:
    """Checks the size of a state's shapes; returns it in bytes, or raises UserError like `check_step`."""
    kept = sum(_bytes(leaf) for leaf in jax.tree.leaves(state))
    _require(config, "the networks with Adam's moments and averages", kept, devices.device_bytes())
    return kept


def check_step(config, state: Any, step: jax.extend.core.ClosedJaxpr) -> None:
    """Checks that the state and the largest array of a step fit together on a device.

    Args:
        config: The resolved config.
        state: The state's shapes.
        step: The traced update.

    Raises:
        UserError: They do not fit.
    """
    kept = check_state(config, state)
    largest = max(_bytes(each.aval) for each in _arrays(step.jaxpr)) // jax.device_count()
    _require(config, "the networks and the largest array of a step", kept + largest, devices.device_bytes())


def _require(config, what, needed, there, key=None):
    """Refuses what does not fit, naming a key, by default the one that exceeds its default most; None fits all."""
    if there is not None and needed > there:
        key = key or _largest_key(config)
        memory.require(f"config.{key}={config_lib.flatten(config)[key]}", what, needed, there)


def _largest_key(config):
    """The key of batches or networks that exceeds its default most."""
    unread, values, ratios = config_lib.unread(config, config_lib.flatten(config)), config_lib.flatten(config), {}
    for key, option in config_lib.declared(config).items():
        group, value = key.partition(".")[0], values[key]
        is_size = group in ("latent", "generator", "discriminator", "encoder", "algorithm") or key in _OTHERS
        numbers = value if isinstance(value, tuple) else (value,)
        is_size &= option.value_type in (int, tuple) and all(isinstance(each, int) for each in numbers)
        if is_size and key not in unread:
            ratios[key] = max(numbers) / _size(option.default)
    return max(ratios, key=ratios.get)


_OTHERS = ("training.batch_size", "data.image_size")


def _size(default):
    return max(default) if isinstance(default, tuple) else default or 64  # a usual size of images


def _arrays(jaxpr) -> Iterator[Any]:
    """Yields all variables of a jaxpr and of those inside it."""
    yield from jaxpr.invars
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _arrays(inner)


def _bytes(leaf) -> int:
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
    return 0 if is_key else int(np.prod(leaf.shape, dtype=object)) * leaf.dtype.itemsize
