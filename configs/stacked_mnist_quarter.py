"""Stacked MNIST, 1000 modes, with a discriminator of a quarter of the generator's width.

    python -m buresgan_jax.main --config=configs/stacked_mnist_quarter.py --workdir=runs/stacked_mnist_quarter

All else is as in `stacked_mnist.py`. The experiment is that of Unrolled GAN (https://arxiv.org/abs/1611.02163) and
PacGAN (https://arxiv.org/abs/1712.04086), in which such discriminators let GANs lose modes, with the networks of this
package. `configs/suites/weak_discriminator.py` runs it and has PacGAN's numbers. The full run has not been made.
"""

from buresgan_jax.configs import stacked_mnist


def get_config(argument: str = "bures"):
    """The settings of `stacked_mnist.py` and the narrower discriminator. The argument is as there."""
    config = stacked_mnist.get_config(argument)
    if not config.smoke:
        config.discriminator.base_filters = config.generator.base_filters // 4
    return config
