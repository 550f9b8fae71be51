"""GANs that do not collapse: the Bures distance as a diversity penalty, in JAX and Flax.

This namespace is the array API: pure functions for any JAX program. It loads neither Flax nor TensorFlow and changes
no JAX settings; `load_generator` alone loads Flax. To train, run `python -m buresgan_jax.main`, or `buresgan train`.
"""

import os
from typing import TYPE_CHECKING

from buresgan_jax.runtime import signals as _signals

_signals.end_programs_in_one_line()  # before JAX, whose import takes seconds

from buresgan_jax.distances import (
    bourgain_embedding,
    bures_barycenter,
    bures_distance,
    bures_distance_from_features,
    bures_geodesic,
    bures_transport_map,
    bures_wasserstein_distance,
    cauchy_kernel,
    fidelity,
    frobenius_distance,
    gaussian_kernel,
    inv_sqrtm,
    linear_kernel,
    mmd_witness,
    nearest_neighbor_cross_entropy,
    nearest_neighbor_entropy,
    pairwise_squared_bures_distance,
    rational_quadratic_kernel,
    sqrtm,
    squared_bures_distance,
    squared_bures_distance_from_features,
    squared_bures_distance_low_rank,
    squared_bures_distance_of_diagonals,
    squared_bures_wasserstein_distance,
    squared_frobenius_distance,
    squared_frobenius_distance_from_features,
    squared_mmd,
    squared_neighbor_distances,
    validate,
)
from buresgan_jax.penalties import bures_penalty

if TYPE_CHECKING:
    from buresgan_jax.training.trained_generator import TrainedGenerator

__version__ = "0.1.0"

__all__ = [
    "bourgain_embedding",
    "bures_barycenter",
    "bures_distance",
    "bures_distance_from_features",
    "bures_geodesic",
    "bures_penalty",
    "bures_transport_map",
    "bures_wasserstein_distance",
    "cauchy_kernel",
    "fidelity",
    "frobenius_distance",
    "inv_sqrtm",
    "squared_mmd",
    "rational_quadratic_kernel",
    "mmd_witness",
    "linear_kernel",
    "gaussian_kernel",
    "load_generator",
    "nearest_neighbor_cross_entropy",
    "nearest_neighbor_entropy",
    "pairwise_squared_bures_distance",
    "sqrtm",
    "squared_bures_distance",
    "squared_bures_distance_from_features",
    "squared_bures_distance_low_rank",
    "squared_bures_distance_of_diagonals",
    "squared_bures_wasserstein_distance",
    "squared_frobenius_distance",
    "squared_frobenius_distance_from_features",
    "squared_neighbor_distances",
    "validate",
]


def load_generator(
    workdir: str | os.PathLike[str], *, checkpoint: str | int = "newest", ema: bool = True
) -> "TrainedGenerator":
    """Loads the generator of a run that has ended or is going on. It needs no data and writes nothing.

    Args:
        workdir: The run's directory.
        checkpoint: `newest`, `best` (by the config's `evaluation.best_by`), or a step.
        ema: Whether to load the averaged generator; otherwise the raw one.

    Returns:
        An object with `sample(n, seed)`, `generate(z)`, `sample_latent(n, seed)`, `latent_dim`, `latent_centers` and
        `export(path)`.

    Raises:
        ValueError: There is no run or no such checkpoint, or it is damaged. A part of the user's own that the run uses
            cannot be imported.
    """
    from buresgan_jax.training.trained_generator import TrainedGenerator  # loads Flax

    return TrainedGenerator(workdir, checkpoint=checkpoint, ema=ema)
