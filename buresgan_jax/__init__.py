"""GANs that do not collapse: the Bures distance as a diversity penalty, in JAX and Flax.

This namespace is the array API: pure functions for any JAX program. It loads neither Flax nor TensorFlow and changes
no JAX settings. To train, run `python -m buresgan_jax.main`.
"""

from buresgan_jax.runtime import signals as _signals

_signals.end_programs_in_one_line()  # before JAX, whose import takes seconds

from buresgan_jax.distances import (
    bures_barycenter,
    bures_distance,
    bures_distance_from_features,
    bures_geodesic,
    bures_transport_map,
    bures_wasserstein_distance,
    fidelity,
    frobenius_distance,
    inv_sqrtm,
    pairwise_squared_bures_distance,
    sqrtm,
    squared_bures_distance,
    squared_bures_distance_from_features,
    squared_bures_distance_low_rank,
    squared_bures_distance_of_diagonals,
    squared_bures_wasserstein_distance,
    squared_frobenius_distance,
    squared_frobenius_distance_from_features,
    validate,
)
from buresgan_jax.penalties import bures_penalty

__version__ = "0.1.0"

__all__ = [
    "bures_barycenter",
    "bures_distance",
    "bures_distance_from_features",
    "bures_geodesic",
    "bures_penalty",
    "bures_transport_map",
    "bures_wasserstein_distance",
    "fidelity",
    "frobenius_distance",
    "inv_sqrtm",
    "pairwise_squared_bures_distance",
    "sqrtm",
    "squared_bures_distance",
    "squared_bures_distance_from_features",
    "squared_bures_distance_low_rank",
    "squared_bures_distance_of_diagonals",
    "squared_bures_wasserstein_distance",
    "squared_frobenius_distance",
    "squared_frobenius_distance_from_features",
    "validate",
]
