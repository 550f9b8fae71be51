"""CelebA at 256x256, as in MaEM-GAN, https://arxiv.org/abs/2208.12055; not in the BuresGAN paper.

    python -m buresgan_jax.main --config=configs/celeba_256.py --workdir=runs/celeba_256

The data set is prepared once by `python -m buresgan_jax.prepare celeb_a`. The largest square of each picture (178
pixels) is resized. Pictures of a folder, such as CelebA-HQ: `image_folder.py` with `--config.data.image_size=256`.

Batch, steps and the discriminator's channels (32, doubled by each convolution up to 1024) are those of RealnessGAN
(https://arxiv.org/abs/2002.05512), which MaEM-GAN follows. Its own settings for this set are not published: weights,
rates and the 16 outputs of `maem` are those of CIFAR-10. The generator has 7 million parameters, the discriminator 18
million. MMD-GANs have larger networks: add `--config.generator.base_filters=32`.

The full run has not been made, so there is no expected time or result yet. Use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "maem"):
    """DCGANs for 256 pixels. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "tfds"
    config.data.base = "celeb_a"
    config.training.num_steps = 520_000
    defaults.use_images(config, image_size=256, channels=3)
    config.training.batch_size = 32  # for every method: an image is 64 times as large as one of CIFAR-10
    config.discriminator.base_filters = 32
    return defaults.finish(config)
