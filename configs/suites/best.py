"""The method `best` and what each of its parts does: the same with one part changed, on the four mixtures.

    python -m buresgan_jax.suite --config=configs/suites/best.py --workdir=runs/best

One seed. Each variant is a method of this file, and can be trained like any other:
`--config=configs/grid.py:buresgan_jax.configs.suites.best:no_mmd`.
"""

import jax.numpy as jnp
from ml_collections import config_dict

from buresgan_jax import declarations, losses
from buresgan_jax.config import METHODS

_NAME = "buresgan_jax.configs.suites.best"
_TERMS = METHODS["best"].settings["terms"]


@declarations.loss("no_loss", "no adversary")
def no_loss():
    """Returns the loss 0 of both players."""

    def zero(real_outputs, fake_outputs):
        return 0 * (jnp.mean(real_outputs) + jnp.mean(fake_outputs))

    return losses.AdversarialLoss(zero, zero)


def _change(meaning, *, terms=_TERMS, **changes):
    """The method `best` with other terms or values; keys of terms that are not there are left out."""
    best = METHODS["best"].with_terms(*terms)
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    on_points = best.on_points
    if changes.get("latent.name") == "normal":
        on_points = {key: value for key, value in on_points.items() if not key.startswith("latent.n")}
    return best._replace(meaning=meaning, on_points={**on_points, **changes})


no_adversary = _change("without the adversarial loss", loss__name=f"{_NAME}:no_loss")
no_mmd = _change("without the MMD of the samples", terms=("pseudo_supervision",))
no_supervision = _change("without the pairs of embedding and example", terms=("sample_mmd",))
distances = _change("BourGAN's term in place of the pairs", terms=("sample_mmd", "latent_distance"))
normal_latent = _change("a normal latent distribution", terms=("sample_mmd",), latent__name="normal")
fewer_points = _change("1,000 embedded points", latent__num_points=1000, latent__dim=50)
short_noise = _change("noise as long as distances inside groups", latent__noise_factor=1.0)
half_the_noise = _change("half of the noise", latent__noise_factor=4.0)
constant_rates = _change("constant learning rates", optimizer__schedule="constant")
higher_rate = _change("the generator's learning rate 5e-3", optimizer__generator_learning_rate=5e-3)
equal_rates = _change("the generator's learning rate 1e-3", optimizer__generator_learning_rate=1e-3)
wider = _change("a generator of twice the width", generator__hidden=(256, 256))
twice_the_batch = _change("batches of 512", training__batch_size=512)
twice_the_steps = _change("50,000 steps", training__num_steps=50_000, pseudo_supervision__schedule_steps=25_000)
with_bures = _change("with the Bures penalty", terms=(*_TERMS, "bures"))

_VARIANTS = (
    *("no_adversary", "no_mmd", "no_supervision", "distances", "normal_latent", "fewer_points", "short_noise"),
    *("half_the_noise", "constant_rates", "higher_rate", "equal_rates", "wider"),
    *("twice_the_batch", "twice_the_steps", "with_bures"),
)


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid,unbalanced_ring,unbalanced_grid"  # files of configs/
    suite.methods = ",".join(["best", *(f"{_NAME}:{name}" for name in _VARIANTS)])
    suite.seeds = "0"
    # 2,500 samples also of the unbalanced mixtures, where a single sample near a mode counts, as on the others.
    suite.overrides = (
        "evaluation.metrics=wasserstein,two_sample evaluation.every_steps=0 evaluation.num_samples=2500 "
        "evaluation.min_hits=1"
    )
    return suite
