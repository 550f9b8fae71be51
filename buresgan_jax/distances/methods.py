"""Option names of several distances: methods of the Bures distance, and scales of batches."""

import functools
from typing import Literal, get_args

import jax

Scale = Literal["mean", "sum"]
Method = Literal["eigh", "svd", "newton_schulz", "newton_schulz_15", "auto"]
METHODS = get_args(Method)
# On GPU and TPU, an iteration on smaller matrices costs more in kernel launches than it saves.
_SMALLEST_BY_PRODUCTS = 32


def by_platform(function, size, cpu_method, *arrays):
    """Chooses the method for `method="auto"` when the program is lowered, independently of the default backend."""
    on_cpu = functools.partial(function, method=cpu_method)
    if size < _SMALLEST_BY_PRODUCTS:
        return on_cpu(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=functools.partial(function, method="newton_schulz"))
