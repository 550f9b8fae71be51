"""Metrics of the discriminator: what it knows of the distance between data and samples.

A discriminator that estimates `log(p / q)` bounds every f-divergence from below. Together the bounds tell how the
samples are wrong: where modes are dropped, those with a large right tail weight rise (`bound_kl`, `bound_pearson`);
where samples are bad, those with a large left one (`bound_reverse_kl`, `bound_neyman`).
"""

import numpy as np

from buresgan_jax import declarations
from buresgan_jax.divergences import DIVERGENCES, variational_bound
from buresgan_jax.evaluation.evaluators import Evaluator

_NAMES = {f"bound_{name}": divergence for name, divergence in DIVERGENCES.items()}


@declarations.metric(
    "divergence_bounds",
    "lower bounds of all f-divergences by the discriminator",
    larger_is_better=dict.fromkeys(_NAMES, False),
)
def _divergence_bounds(samples, log_ratio, real):
    real_logits, fake_logits = log_ratio(real), log_ratio(samples)
    entries = {}
    for name, divergence in _NAMES.items():
        value, clipped = map(float, variational_bound(divergence, real_logits, fake_logits))
        entries[name] = {"value": value, "clipped_share": clipped}
    return entries


METRICS: dict[str, declarations.Component] = {_divergence_bounds.name: _divergence_bounds}


def discriminator_evaluator(real: np.ndarray, name: str) -> Evaluator:
    """Makes the evaluator of the bounds.

    A bound says how well this discriminator tells two sets apart, so that no number of it chooses a checkpoint.

    Args:
        real: Real examples as the networks see them, `[n, ...]`.
        name: Name of the real set.
    """

    def evaluate(samples, log_ratio):
        facts = {"n_real": len(real), "n_fake": len(samples), "made_from": f"the discriminator and {name}"}
        return {name: {**facts, **entry} for name, entry in _divergence_bounds()(samples, log_ratio, real).items()}

    return Evaluator(dict.fromkeys(_NAMES, ()), {}, {}, evaluate, uses_discriminator=True)
