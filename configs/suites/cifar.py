"""CIFAR-10: pictures of every method of the BuresGAN paper, https://arxiv.org/abs/2006.09096.

    python -m buresgan_jax.benchmark --config=configs/suites/cifar.py --workdir=runs/cifar_suite

100,000 steps of batch 256: for a GPU. A folder of pictures instead: `--config.data=image_folder --config.overrides="
data.path=FOLDER data.image_size=32"`.
Not run here as a whole.
"""

from ml_collections import config_dict

from buresgan_jax.config import METHODS


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "cifar"  # files of configs/
    suite.methods = ",".join(METHODS)
    suite.seeds = "0:10"
    suite.overrides = ""  # of every run, such as "training.num_steps=1000 penalty.weight=2"
    return suite
