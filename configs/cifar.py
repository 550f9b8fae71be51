"""CIFAR-10, DCGAN: section "Real images" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/cifar.py --workdir=runs/cifar

The data set is prepared once by `python -m buresgan_jax.prepare cifar10`.

The ResNets of the same paper, with their optimiser and sizes, are
`--config.generator.name=resnet --config.discriminator.name=resnet --config.latent.dim=128
--config.training.batch_size=64 --config.training.num_steps=200_000 --config.optimizer.schedule=linear
--config.optimizer.decay_steps=200_000 --config.optimizer.generator_learning_rate=5e-4
--config.optimizer.discriminator_learning_rate=5e-4 --config.optimizer.b1=0 --config.optimizer.b2=0.9
--config.algorithm.simultaneous=False`. Differs from the authors' code in: the generator's step takes one group of 64
fakes (theirs the mean over two), the discriminator moves first, and the pixels get no uniform noise of 1/128.

The full run has not been made here: no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings; the argument is a method (see buresgan_jax/config.py), `smoke`, or both."""
    config = defaults.default(argument)
    config.data.name = "cifar10"
    defaults.use_images(config, image_size=32, channels=3)
    config.training.batch_size = 256
    config.training.num_steps = 100_000
    return defaults.finish(config)
