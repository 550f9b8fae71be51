"""STL-10, unlabelled split at 96x96, DCGAN with 4 layers: section "Real images" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/stl10.py --workdir=runs/stl10

The data set is prepared once by `python -m buresgan_jax.prepare stl10`.

The full run has not been made, so there is no expected time or result yet. On a CPU expect days; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "stl10"
    config.training.batch_size = 256
    config.training.num_steps = 150_000
    defaults.use_images(config, image_size=96, channels=3)
    config.data.split = "unlabelled"
    return defaults.finish(config)
