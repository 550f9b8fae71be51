"""Stacked MNIST: modes and KL of every method of the BuresGAN paper, https://arxiv.org/abs/2006.09096, and hinge.

    python -m buresgan_jax.suite --config=configs/suites/stacked_mnist.py --workdir=runs/stacked_mnist_suite

25,000 steps of batch 256: for a GPU. The digit classifier that counts modes is trained first, once for all runs, into
the workdir. A part that takes 83 minutes on two CPU cores: `--config.methods=gan,bures --config.seeds=0:1
--config.overrides="training.num_steps=10000 training.batch_size=64"`. If the data set was prepared elsewhere, add
`data.data_dir=FOLDER` to the overrides. The whole suite has not been run.
"""

from ml_collections import config_dict

from buresgan_jax.config import PAPER_METHODS


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "stacked_mnist"  # files of configs/
    suite.methods = ",".join(PAPER_METHODS)
    suite.seeds = "0:10"
    suite.overrides = ""  # of every run that has the key, such as "training.num_steps=1000 bures.weight=2"
    return suite
