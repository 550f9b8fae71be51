"""CelebA, center crop at 64x64. Not in the BuresGAN paper: its DCGAN family at 64x64.

    python -m buresgan_jax.main --config=configs/celeba.py --workdir=runs/celeba

The data set is prepared once by `python -m buresgan_jax.prepare celeb_a`.

The full run has not been made, so there is no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's DCGANs. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "celeb_a"
    config.training.batch_size = 128
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=64, channels=3, learning_rates={"mmd": (5e-4, 5e-4)})
    return defaults.finish(config)
