"""LSUN bedroom, center crop at 64x64, for MMD-GANs with the repulsive loss, https://arxiv.org/abs/1812.09916.

    python -m buresgan_jax.main --config=configs/lsun_bedroom.py --workdir=runs/lsun_bedroom

The data set is prepared once by `python -m buresgan_jax.prepare lsun/bedroom`; it has 3 million pictures. The settings
are those of the best run of the bounded loss that the authors published with a Lipschitz constant of 64.

Neither the preparation nor the full run has been made, so there is no expected time or result yet. Use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "mmd_repulsive_bounded"):
    """The authors' settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "tfds"
    config.data.base = "lsun/bedroom"
    config.training.batch_size = 64
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=64, channels=3, learning_rates={"mmd": (5e-4, 2e-4)})
    return defaults.finish(config)
