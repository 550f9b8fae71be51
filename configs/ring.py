"""Ring of 8 Gaussians: section "Artificial data" of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.main --config=configs/ring.py --workdir=runs/ring
    python -m buresgan_jax.main --config=configs/ring.py:alternating_bures --workdir=runs/ring_alternating

Expect 8 of 8 modes after 25,000 steps and 85 to 89 % of the averaged generator's samples within 3 standard deviations
(perfect samples: 98.9 %), for both methods. The last parameters may swing: of twenty runs each, one of BuresGAN ended
at 6 modes and 45 %, and one of the alternating form at 6 and 22 %. docs/results/mixtures.md has the runs. One to three
minutes on one CPU core.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The paper's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "ring"
    config.data.num_examples = 10_000
    defaults.use_points(config)
    return defaults.finish(config)
