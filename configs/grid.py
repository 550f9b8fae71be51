"""Grid of 25 Gaussians: section "Artificial data" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/grid.py --workdir=runs/grid
    python -m buresgan_jax.main --config=configs/grid.py:alternating_bures --workdir=runs/grid_alternating

Expect 25 of 25 modes after 25,000 steps and 85 to 88 % of the averaged generator's samples within 3 standard deviations
(perfect samples: 98.9 %), 75 to 86 % of the raw one's, for both methods; the plain GAN loses 1 to 16 modes in half of
its runs (docs/results/mixtures.md). One to four minutes on one CPU core.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "grid"
    config.data.num_examples = 10_000
    defaults.use_points(config)
    return defaults.finish(config)
