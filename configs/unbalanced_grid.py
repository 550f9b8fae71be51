"""Unbalanced grid, 10 of 25 modes at 0.05 of the others' weight: the protocol of https://arxiv.org/abs/2104.02373.

    python -m buresgan_jax.main --config=configs/unbalanced_grid.py --workdir=runs/unbalanced_grid

Batch 64, z of 100 dimensions, 30,000 steps, 10,000 samples; a mode counts from 50 of them within 3 standard deviations.
Ten runs: BuresGAN 15 to 20 of 25 modes and 82 % of the samples near one, GAN 4 to 10 and 34 %
(docs/results/unbalanced.md). Perfect samples have 15: a rare mode expects 32. A minute on one CPU core.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "unbalanced_grid"
    config.data.num_examples = 10_000
    config.latent.dim = 100
    config.training.batch_size = 64
    config.training.num_steps = 30_000
    defaults.use_points(config)
    config.evaluation.num_samples = 10_000
    config.evaluation.min_hits = 50
    return defaults.finish(config)
