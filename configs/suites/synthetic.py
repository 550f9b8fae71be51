"""Ring and grid as in the BuresGAN paper, https://arxiv.org/abs/2006.09096, and unbalanced (arXiv 2104.02373).

    python -m buresgan_jax.suite --config=configs/suites/synthetic.py --workdir=runs/synthetic

This is the whole table: 12 methods (all of the paper, and the hinge loss), 4 data sets, 10 seeds. For a part of it:
`--config.methods=gan,bures --config.data=ring --config.seeds=0:3`. Its runs are kept, and the whole takes them over.

Runs are evaluated at their end only, with the Wasserstein distance to fresh points and the two-sample test: about 7 s
for a run, and minutes for the perfect samples of the first table. `--config.overrides=` leaves both out. Other
overrides take the place of these, so repeat them.
"""

from ml_collections import config_dict

from buresgan_jax.config import PAPER_METHODS


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid,unbalanced_ring,unbalanced_grid"  # files of configs/
    suite.methods = ",".join(PAPER_METHODS)
    suite.seeds = "0:10"
    # Of every run that has the key, such as "training.num_steps=1000 bures.weight=2".
    suite.overrides = "evaluation.metrics=wasserstein,two_sample evaluation.every_steps=0"
    return suite
