"""CIFAR-10 and Fashion-MNIST in one data set: the "unwanted samples" of BourGAN, https://arxiv.org/abs/1805.07674.

    python -m buresgan_jax.main --config=configs/cifar_fashion.py --workdir=runs/cifar_fashion

The data sets are prepared once by `python -m buresgan_jax.prepare cifar10` and the same with `fashion_mnist`. There are
50,000 images of each. Clothes are resized from 28 to 32 pixels and have three equal channels. A generator that cannot
leave the gap between the two sets makes samples that belong to neither. Other sets are joined by
`--config.data.sets=mnist,cifar10`, and other sizes by `--config.data.num_per_set=5_000`.

BourGAN's settings for this experiment are not known to us: these are those of `cifar.py`. No number counts unwanted
samples. The distance to the nearest real image, of pixels or of VGG16's features, does not find them: the average of a
photograph and a piece of clothing is as near to a real image as real images are to each other. The full run has not
been made.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bourgan"):
    """The settings of `cifar.py`. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "joined"
    config.data.sets = "cifar10,fashion_mnist"
    config.data.num_per_set = 50_000
    config.training.batch_size = 256
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=32, channels=3)
    return defaults.finish(config)
