"""CIFAR-100, DCGAN: section "Real images" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/cifar100.py --workdir=runs/cifar100

The data set is prepared once by `python -m buresgan_jax.prepare cifar100`.

The full run has not been made, so there is no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "cifar100"
    config.training.batch_size = 256
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=32, channels=3)
    return defaults.finish(config)
