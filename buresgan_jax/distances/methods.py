"""Names that several distances share: how the Bures distance is computed, how batches are scaled."""

import functools
from typing import Literal, get_args

import jax

Scale = Literal["mean", "sum"]
Method = Literal["eigh", "svd", "newton_schulz", "newton_schulz_15", "auto"]
METHODS = get_args(Method)
# On GPU and TPU, smaller matrices are not worth the many launches of an iteration.
_SMALLEST_BY_PRODUCTS = 32


def by_platform(function, size, cpu_method, *arrays):
    """`method="auto"`, chosen when the program is lowered, not by a look at the default backend."""
    on_cpu = functools.partial(function, method=cpu_method)
    if size < _SMALLEST_BY_PRODUCTS:
        return on_cpu(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=on_cpu, default=functools.partial(function, method="newton_schulz"))
