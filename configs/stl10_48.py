"""STL-10, unlabelled split at 48x48, for MMD-GANs with the repulsive loss, https://arxiv.org/abs/1812.09916.

    python -m buresgan_jax.main --config=configs/stl10_48.py --workdir=runs/stl10_48

The data set is prepared once by `python -m buresgan_jax.prepare stl10`. The settings are those of the best run of
the bounded loss that the authors published with a Lipschitz constant of 64. They cropped nothing and resized with a
Lanczos filter, as here.

The full run has not been made, so there is no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "mmd_repulsive_bounded"):
    """The authors' settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "stl10"
    config.data.split = "unlabelled"
    config.training.batch_size = 64
    config.training.num_steps = 100_000
    defaults.use_images(config, image_size=48, channels=3, learning_rates={"mmd": (2e-4, 2e-4)})
    return defaults.finish(config)
