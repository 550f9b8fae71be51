"""Five groups of five Gaussians, whose distances differ by ten.

    python -m buresgan_jax.main --config=configs/two_scales.py --workdir=runs/two_scales

A generator that sees only the groups reaches few of the 25 modes. Batch, networks and evaluation are the ring's.
Three runs of each of five methods: docs/results/shapes.md. About two minutes on one CPU core.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The ring's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "two_scales"
    config.data.num_examples = 10_000
    defaults.use_points(config)
    return defaults.finish(config)
