"""CIFAR-10, ResNets: section "Real images" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/cifar_resnet.py --workdir=runs/cifar_resnet

The data set is prepared once by `python -m buresgan_jax.prepare cifar10`.

Differs from the authors' code: the generator's step takes one group of 64 fakes (theirs takes the mean over two), the
discriminator moves first, and the pixels get no uniform noise of 1/128.

The full run has not been made, so there is no expected time or result yet. On a CPU expect weeks; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The authors' settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "cifar10"
    defaults.use_images(config, image_size=32, channels=3)
    defaults.use_resnets(config, num_steps=200_000)
    return defaults.finish(config)
