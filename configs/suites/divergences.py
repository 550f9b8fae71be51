"""Which divergence keeps the modes? Generators that minimize each of eleven f-divergences, on the four mixtures.

    python -m buresgan_jax.suite --config=configs/suites/divergences.py --workdir=runs/divergences

The discriminator is logistic for all of them and has the gradient penalty R1 at a weight of 0.3, the scores with e^|d|
are clipped at 5, and a run has 10,000 steps. Without the penalty, the divergences of a left tail weight of 0 make no
samples near a mode: where the discriminator is sure that samples are fakes, they have no gradient.

Each variant is a method of this file, and can be trained like any other:
`--config=configs/grid.py:buresgan_jax.configs.suites.divergences:neyman`.
"""

from ml_collections import config_dict

from buresgan_jax.config import METHODS
from buresgan_jax.divergences import DIVERGENCES

_NAME = "buresgan_jax.configs.suites.divergences"


def _method(divergence):
    """The method `f_gan` with R1 and a generator of this divergence."""
    method = METHODS["f_gan"].with_terms("r1")
    settings = {
        "loss.generator": divergence,
        "loss.clip": 5.0,
        "r1.weight": 0.3,
        "discriminator.use_batch_norm": False,
    }
    on_points = {**method.on_points, "training.num_steps": 10_000}
    meaning = f"logistic discriminator with R1, generator of {divergence}"
    return method._replace(meaning=meaning, settings={**method.settings, **settings}, on_points=on_points)


globals().update({name: _method(name) for name in DIVERGENCES})


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid,unbalanced_ring,unbalanced_grid"  # files of configs/
    suite.methods = ",".join(f"{_NAME}:{name}" for name in DIVERGENCES)
    suite.seeds = "0:5"
    suite.overrides = "evaluation.every_steps=0 evaluation.metrics=divergence_bounds"
    return suite
