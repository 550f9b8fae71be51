"""R3GAN's loss against GAN with R1: how much gradient penalty do ring and grid need?

    python -m buresgan_jax.suite --config=configs/suites/pairing.py --workdir=runs/pairing

`pairing` has the penalties R1 and R2, `gan` has R1 alone; the players move in turn. The weight gamma begins at 0.1, 1
or 10, and falls along a cosine to a tenth of that within the first 2,500 of 25,000 steps, as in
https://arxiv.org/abs/2501.05441. A gamma counts twice as much with `gan`, whose discriminator's loss is an average.

Each variant is a method of this file, and can be trained like any other:
`--config=configs/grid.py:buresgan_jax.configs.suites.pairing:pairing_one`.
"""

from ml_collections import config_dict

from buresgan_jax.config import METHODS

_NAME = "buresgan_jax.configs.suites.pairing"
_GAMMAS = {"tenth": 0.1, "one": 1.0, "ten": 10.0}


def _method(loss, terms, gamma):
    """The method `pairing` with this loss, and these gradient penalties at the weight gamma."""
    method = METHODS["pairing"].with_terms(*terms)
    return method._replace(
        meaning=f"the loss {loss}; {' and '.join(terms)} from {gamma} down",
        settings={**method.settings, "loss.name": loss},
        on_points={**method.on_points, **{f"{term}.weight": gamma for term in terms}},
    )


for _suffix, _gamma in _GAMMAS.items():
    globals()[f"pairing_{_suffix}"] = _method("pairing", ("r1", "r2"), _gamma)
    globals()[f"gan_{_suffix}"] = _method("non_saturating", ("r1",), _gamma)


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid"  # files of configs/
    suite.methods = ",".join(f"{_NAME}:{name}_{suffix}" for name in ("pairing", "gan") for suffix in _GAMMAS)
    suite.seeds = "0:3"
    suite.overrides = "evaluation.metrics=wasserstein,two_sample evaluation.every_steps=0"
    return suite
