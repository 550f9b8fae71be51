"""MNIST digits. Not in the BuresGAN paper: its 28x28 DCGAN with one channel.

    python -m buresgan_jax.main --config=configs/mnist.py --workdir=runs/mnist

The data set is prepared once by `python -m buresgan_jax.prepare mnist`.

The full run has not been made, so there is no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's MNIST networks. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "mnist"
    config.training.batch_size = 256
    config.training.num_steps = 25_000
    defaults.use_images(config, image_size=28, channels=1)
    return defaults.finish(config)
