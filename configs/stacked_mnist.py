"""Stacked MNIST, 1000 modes: the DCGAN setting (3 layers, batch 256) of BuresGAN, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/stacked_mnist.py --workdir=runs/stacked_mnist

The data set is prepared once by `python -m buresgan_jax.prepare mnist`.

The smaller-batch setting of the same paper (4 layers, batch 64) is
`--config.generator.variant=veegan --config.discriminator.variant=veegan --config.training.batch_size=64
--config.optimizer.generator_learning_rate=2e-4 --config.optimizer.discriminator_learning_rate=2e-4`.

Measured so far: 500 steps at batch 64, where digits can be told in every channel. The full run has not been made.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings; the argument is a method (see buresgan_jax/config.py), `smoke`, or both."""
    config = defaults.default(argument)
    config.data.name = "stacked_mnist"
    defaults.use_images(config, image_size=28, channels=3)
    config.training.batch_size = 256
    config.training.num_steps = 25_000
    config.data.num_examples = 128_000
    return defaults.finish(config)
