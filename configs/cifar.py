"""CIFAR-10, DCGAN: section "Real images" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/cifar.py --workdir=runs/cifar

The data set is prepared once by `python -m buresgan_jax.prepare cifar10`.

The ResNets of the same paper are in `cifar_resnet.py`.

The full run has not been made, so there is no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "cifar10"
    config.training.batch_size = 256
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=32, channels=3, learning_rates={"mmd": (1e-3, 5e-4)})
    return defaults.finish(config)
