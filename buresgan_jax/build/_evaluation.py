"""The metrics of samples."""

from collections.abc import Callable

import numpy as np

from buresgan_jax import data, metrics
from buresgan_jax.build._data import is_mixture, mixture


def evaluation(config) -> Callable[[np.ndarray], dict[str, float]] | None:
    """`samples -> {metric: value}` for the data set, None where there is no metric for it."""
    if not is_mixture(config):
        return None
    truth = mixture(config)

    def evaluate(samples):
        options = {"weights": truth.weights, "min_hits": config.evaluation.min_hits}
        statistics = metrics.mode_statistics(samples, truth.means, truth.std, **options)
        return {name: getattr(statistics, name) for name in ("modes", "high_quality_share", "reverse_kl")}

    return evaluate


def perfect_samples(config, n: int, seed: int) -> np.ndarray | None:
    """What a perfect generator would make, for the best value that a metric can have; None where it is not known."""
    if not is_mixture(config):
        return None
    return data.sample_mixture(mixture(config), np.arange(n), seed=seed)[0]
