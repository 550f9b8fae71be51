"""STL-10, unlabelled split at 96x96, ResNets: section "Real images" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/stl10_resnet.py --workdir=runs/stl10_resnet

At 48x48, the paper's smaller version: `--config.data.image_size=48`. The data set is prepared once by
`python -m buresgan_jax.prepare stl10`. Differs from the authors' code as `cifar_resnet.py` does.

The full run has not been made, so there is no expected time or result yet. On a CPU expect months; use a GPU.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The authors' settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "stl10"
    config.data.split = "unlabelled"
    defaults.use_images(config, image_size=96, channels=3)
    defaults.use_resnets(config, num_steps=300_000)
    return defaults.finish(config)
