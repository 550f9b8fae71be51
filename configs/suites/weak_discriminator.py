"""Stacked MNIST with a discriminator of a half and a quarter of the generator's width: which methods keep the modes?

    python -m buresgan_jax.suite --config=configs/suites/weak_discriminator.py --workdir=runs/weak_discriminator

With networks of equal width, even the plain GAN finds all 1000 modes (docs/results/images.md). PacGAN's paper
(https://arxiv.org/abs/1712.04086, on networks of its own) reports, as modes / KL in nats:

| width of the discriminator | DCGAN | PacGAN, 2 samples | PacGAN, 4 samples |
|---|---|---|---|
| a quarter | 78.5 / 5.21 | 484.5 / 2.61 | 667.4 / 1.81 |
| a half | 487.7 / 2.24 | 840.7 / 1.00 | 820.2 / 1.15 |

25,000 steps: for a GPU. The batch is 256 samples, for `pacgan` 256 pairs, and for `mmd_repulsive` 64 on networks of its
own (`sngan`), at the same widths. `bourgan` has the 50 latent dimensions of its embedding of 1,000 stacks, in place of
100. One width only: `--config.data=stacked_mnist_quarter`. Any other is an override of `stacked_mnist`:

    --config.data=stacked_mnist --config.overrides=discriminator.base_filters=8

docs/results/images.md has the first 1,500 steps of four methods at batch 64. The whole suite has not been run.
"""

from ml_collections import config_dict


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "stacked_mnist_half,stacked_mnist_quarter"  # files of configs/
    suite.methods = "gan,pacgan,bures,mmd_repulsive,bourgan,pairing"
    suite.seeds = "0:10"
    suite.overrides = ""  # of every run that has the key, such as "training.num_steps=1000 bures.weight=2"
    return suite
