"""A circle with a mode in its center, as in https://arxiv.org/abs/1805.07674, with numbers of our own.

    python -m buresgan_jax.main --config=configs/circle.py --workdir=runs/circle

The center has a tenth of the points and is easily missed. Batch, networks and evaluation are the ring's.
Three runs of each of five methods: docs/results/shapes.md. About two minutes on one CPU core.
"""

from buresgan_jax import config as defaults


def get_config(argument: str = "bures"):
    """The ring's settings. The argument is a method with any terms, or `smoke`: docs/methods.md, `--list`."""
    config = defaults.default(argument)
    config.data.name = "circle"
    config.data.num_examples = 10_000
    defaults.use_points(config)
    return defaults.finish(config)
