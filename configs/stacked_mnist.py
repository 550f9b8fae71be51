"""Stacked MNIST, 1000 modes: the DCGAN setting (3 layers, batch 256) of BuresGAN, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/stacked_mnist.py --workdir=runs/stacked_mnist

The data set is prepared once by `python -m buresgan_jax.prepare mnist`.

The smaller-batch setting of the same paper (4 layers, batch 64) is
`--config.generator.variant=veegan --config.discriminator.variant=veegan --config.training.batch_size=64
--config.optimizer.generator_learning_rate=2e-4 --config.optimizer.discriminator_learning_rate=2e-4`.

Every evaluation takes 26,000 samples. A digit classifier finds their classes. The evaluation reports the modes out of
1000, the divergence from the data's histogram (`reverse_kl`, in nats), its floor for a perfect generator and
classifier, and the classifier's accuracy. The first evaluation trains the classifier (a few minutes on a CPU core) and
keeps it in the workdir. To use one for several runs, train it by
`python -m buresgan_jax.train_classifier --data=mnist --out=digit_classifier.npz` and name it as
`--config.evaluation.classifier=digit_classifier.npz`. `--config.data.base=fashion_mnist` stacks clothes.
On a CPU core an evaluation takes one to three minutes, most of it for the samples, hence its interval.

Measured so far: 10,000 steps at batch 64, 0.5 s each on one core. There BuresGAN and the plain GAN have all 1000 modes
from 2,000 steps on, and divergences of 0.068 and 0.060 in the end (docs/results/images.md). The full run has not been
made.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "stacked_mnist"
    config.training.batch_size = 256
    config.training.num_steps = 25_000
    defaults.use_images(config, image_size=28, channels=3)
    config.data.num_examples = 128_000
    config.evaluation.num_samples = 26_000
    config.evaluation.every_steps = 2_500
    return defaults.finish(config)
