"""Two turns of a spiral, 400 overlapping Gaussians: one connected set.

    python -m buresgan_jax.main --config=configs/spiral.py --workdir=runs/spiral

Methods for separated modes gain nothing here and should lose nothing. Batch, networks and evaluation are the ring's.
Three runs of each of five methods: docs/results/shapes.md. About two minutes on one CPU core.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The ring's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "spiral"
    config.data.num_examples = 10_000
    defaults.use_points(config)
    return defaults.finish(config)
