"""Fashion-MNIST. Not in the BuresGAN paper: its 28x28 DCGAN with one channel.

    python -m buresgan_jax.main --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist

The data set is prepared once by `python -m buresgan_jax.prepare fashion_mnist`.

The full run has not been made. After 500 steps at batch 64 (5 minutes on one core) boots, trousers, shirts and
dresses can be told apart; docs/results/images.md compares 600 steps with the plain GAN's.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's MNIST networks. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "fashion_mnist"
    config.training.batch_size = 256
    config.training.num_steps = 25_000
    defaults.use_images(config, image_size=28, channels=1)
    return defaults.finish(config)
