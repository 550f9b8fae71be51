"""R3GAN's loss against GAN with R1: how much gradient penalty do ring and grid need?

    python -m buresgan_jax.suite --config=configs/suites/pairing.py --workdir=runs/pairing

`pairing` has the penalties R1 and R2, `gan` has R1 alone. Their weight gamma is 0.1, 1 or 10, and falls along a cosine
to a tenth of it within the first 2,500 of 25,000 steps, as in https://arxiv.org/abs/2501.05441.

Each variant is a method of this file, and can be trained like any other:
`--config=configs/grid.py:buresgan_jax.configs.suites.pairing:pairing_1`.
"""

from ml_collections import config_dict

from buresgan_jax.config import METHODS

_NAME = "buresgan_jax.configs.suites.pairing"
_GAMMAS = {"01": 0.1, "1": 1.0, "10": 10.0}
_BURN_IN = {"schedule": "cosine", "schedule_end": 0.1, "schedule_steps": 2_500}


def _method(name, terms, gamma):
    """The method with these gradient penalties at the weight gamma."""
    method = METHODS[name].with_terms(*terms)
    penalties = {f"{term}.{key}": value for term in terms for key, value in {"weight": gamma, **_BURN_IN}.items()}
    meaning = f"{method.meaning}; {' and '.join(terms)} from {gamma} down"
    settings = {**method.settings, "discriminator.use_batch_norm": False}
    return method._replace(meaning=meaning, settings=settings, on_points=penalties)


for _suffix, _gamma in _GAMMAS.items():
    globals()[f"pairing_{_suffix}"] = _method("pairing", ("r1", "r2"), _gamma)
    globals()[f"gan_{_suffix}"] = _method("gan", ("r1",), _gamma)


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid"  # files of configs/
    suite.methods = ",".join(f"{_NAME}:{name}_{suffix}" for name in ("pairing", "gan") for suffix in _GAMMAS)
    suite.seeds = "0:3"
    suite.overrides = "evaluation.metrics=wasserstein,two_sample evaluation.every_steps=0"
    return suite
