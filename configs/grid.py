"""Grid of 25 Gaussians: section "Artificial data" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

python -m buresgan_jax.main --config=configs/grid.py --workdir=runs/grid
python -m buresgan_jax.main --config=configs/grid.py:alternating_bures --workdir=runs/grid_alternating
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings; the argument is a method (see buresgan_jax/config.py), `smoke`, or both."""
    config = defaults.default(argument)
    config.data.name = "grid"
    config.data.num_examples = 10_000
    config.training.steps_per_call = 100
    config.training.log_every_steps = 500
    return defaults.finish(config)
