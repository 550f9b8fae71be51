"""CIFAR-10 and Fashion-MNIST in one data set: the "unwanted samples" of BourGAN, https://arxiv.org/abs/1805.07674.

    python -m buresgan_jax.main --config=configs/cifar_fashion.py --workdir=runs/cifar_fashion

The data sets are prepared once by `python -m buresgan_jax.prepare cifar10` and the same with `fashion_mnist`. There are
50,000 images of each. Clothes are resized from 28 to 32 pixels and have three equal channels. A generator that cannot
leave the gap between the two sets makes samples that belong to neither. Other sets are joined by
`--config.data.sets=mnist,cifar10`, and other sizes by `--config.data.num_per_set=5_000`.

Every evaluation counts such samples (`unwanted_share`) by a classifier that has learned photographs, clothes and blends
of the two, beside the share of real images that it takes for blends (`unwanted_share_floor`); and how the others are
divided between the sets (`modes`, `reverse_kl`). docs/mode_metrics.md says what this number sees. The first evaluation
trains the classifier, in about a minute, and keeps it in the workdir. To use one for several runs:
`python -m buresgan_jax.train_classifier --data=cifar10,fashion_mnist --out=set_classifier.npz`, then
`--config.evaluation.classifier=set_classifier.npz`.

BourGAN's settings for this experiment are not known to us: these are those of `cifar.py`. The full run has not been
made; docs/results/images.md has 2,000 steps at half the filters.
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
