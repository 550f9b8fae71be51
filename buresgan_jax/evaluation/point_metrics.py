"""Metrics of points that compare samples with fresh points of a known mixture.

As many points are drawn as there are samples, by a stream of their own: no training data hold them, whatever their seed
and size. The run's seed decides which ones, so that a run has the same reference at every step, and runs of different
seeds have independent ones. Time and memory grow faster than the square of the number, so that at most 2,500 samples
count. Each metric then takes seconds; `modes.py` holds the quick numbers.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from buresgan_jax import data, declarations, metrics
from buresgan_jax.errors import UserError, split_names
from buresgan_jax.evaluation.evaluators import Evaluator

P_VALUE = "two_sample_p"
_NUM_PERMUTATIONS = 300
_MOST_SAMPLES = 2_500


@dataclasses.dataclass(frozen=True)
class Reference:
    """Fresh points of the data, and as many others.

    Attributes:
        points: The points that samples are compared with, float32 `[n, 2]`.
        others: Points that take the place of perfect samples, float32 `[n, 2]`.
    """

    points: np.ndarray
    others: np.ndarray

    @functools.cached_property
    def floor(self) -> float:
        """The Wasserstein distance of perfect samples from `points`."""
        return metrics.sample_wasserstein(self.others, self.points)


class PointMetric(NamedTuple):
    """A declared metric of points.

    Attributes:
        component: Its declaration, of a function `(samples, reference) -> {name: facts}`. Facts hold `value` and
            whatever else is known of the number.
        min_samples: The least number of samples.
    """

    component: declarations.Component
    min_samples: int = 1


@declarations.metric(
    "wasserstein", "of points: exact 1-Wasserstein distance to fresh points of the data", larger_is_better=False
)
def _wasserstein(samples, reference):
    value = metrics.sample_wasserstein(samples, reference.points)
    return {"wasserstein": {"value": value, "floor": reference.floor}}


@declarations.metric(
    "two_sample",
    "of points: p-value of one distribution with fresh points of the data",
    larger_is_better={P_VALUE: True},
)
def _two_sample(samples, reference):
    found = metrics.kernel_two_sample_test(samples, reference.points, num_permutations=_NUM_PERMUTATIONS)
    facts = {"statistic": found.statistic, "scale": found.scale, "num_permutations": _NUM_PERMUTATIONS}
    return {P_VALUE: {"value": found.p_value, **facts}}


_ALL = (PointMetric(_wasserstein), PointMetric(_two_sample, min_samples=2))
METRICS: dict[str, PointMetric] = {metric.component.name: metric for metric in _ALL}


def metric_names(text: str) -> tuple[str, ...]:
    """Finds the names of metrics of points among names with commas between them."""
    return tuple(dict.fromkeys(word for word in split_names(text) if word in METRICS))


def check(names: Sequence[str], num_samples: int) -> None:
    """Raises a UserError if there are too few samples for one of the metrics."""
    for name in names:
        if num_samples < METRICS[name].min_samples:
            least = METRICS[name].min_samples
            raise UserError(f"{name} needs at least {least} samples, got evaluation.num_samples={num_samples}.")


def point_evaluator(names: Sequence[str], mixture: data.Mixture, data_name: str, *, seed: int) -> Evaluator:
    """Makes the evaluator that compares samples with fresh points.

    Args:
        names: Keys of `METRICS`.
        mixture: The true distribution.
        data_name: Name of the data set.
        seed: Seed of the fresh points.
    """
    chosen = [METRICS[name].component for name in names]

    @functools.cache
    def reference(n):
        return Reference(*(data.held_out_points(mixture, n, seed=seed, part=part) for part in (0, 1)))

    def evaluate(samples):
        samples = samples[:_MOST_SAMPLES]
        facts = {"n_real": len(samples), "n_fake": len(samples), "made_from": f"fresh points of {data_name}"}
        facts["reference_seed"] = seed
        numbers = [number for each in chosen for number in each()(samples, reference(len(samples))).items()]
        return {name: {**facts, **found} for name, found in numbers}

    larger_is_better = {name: up for each in chosen for name, up in each.facts["larger_is_better"].items()}
    return Evaluator(dict.fromkeys(larger_is_better, ()), larger_is_better, {}, evaluate)
