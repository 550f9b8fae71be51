r"""MaEM-GAN step by step: its loss alone, then with more and more of its terms; three formulas of the entropy.

    python -m buresgan_jax.suite --config=configs/suites/maem.py --workdir=runs/maem \
        --config.overrides="data.path=FOLDER"

The variants of table 1 in https://arxiv.org/abs/2208.12055, here on ring and grid, on stacked MNIST with a
discriminator of a quarter of the generator's width, and on a folder of pictures. On CIFAR-10 the paper reports FIDs of
above 100 for the loss alone, 51.96 with DIsoMap, 31.70 with DLLE too, 30.73 with DIsoMap and the entropy, and 29.22
with all three. The authors' weights of DIsoMap and DLLE are 1, those of `maem` here 0.1: add `disomap.weight=1
dlle.weight=1` for theirs.

Ring and grid take four minutes for a run: `--config.data=ring,grid --config.overrides="evaluation.every_steps=0
evaluation.metrics=wasserstein,two_sample"`. Images have 25,000 and 100,000 steps, for a GPU. There the weights of the
entropies rise over the first 12,500 to 31,300 steps, so that short runs must shorten that too:
`--config.overrides="data.path=FOLDER training.num_steps=1000 entropy.schedule_steps=100
real_entropy.schedule_steps=100"`. docs/results/maem.md has such runs.

Each variant is a method of this file, and can be trained like any other:
`--config=configs/cifar.py:buresgan_jax.configs.suites.maem:loss_alone`.
"""

from ml_collections import config_dict

from buresgan_jax.config import METHODS

_NAME = "buresgan_jax.configs.suites.maem"
_ENTROPIES = ("entropy", "real_entropy")
_ALL = METHODS["maem"].settings["terms"]


def _variant(meaning, *terms, **entropy):
    """The method `maem` with these terms, and options of both entropies."""
    maem = METHODS["maem"].with_terms(*terms)
    options = {f"{term}.{key}": value for term in _ENTROPIES for key, value in entropy.items()}
    return maem._replace(meaning=meaning, settings={**maem.settings, **options})


loss_alone = _variant("MaEM-GAN's loss")
with_disomap = _variant("MaEM-GAN's loss and DIsoMap", "disomap")
with_dlle = _variant("MaEM-GAN's loss, DIsoMap and DLLE", "dlle", "disomap")
with_entropy = _variant("MaEM-GAN's loss, DIsoMap and the entropies", *_ENTROPIES, "disomap")
log_mean = _variant("MaEM-GAN with the entropy of the authors' code", *_ALL, mode="log_mean")
cosine = _variant("MaEM-GAN with the entropy of the paper", *_ALL, mode="cosine")

_VARIANTS = ("loss_alone", "with_disomap", "with_dlle", "with_entropy", "log_mean", "cosine")


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid,stacked_mnist_quarter,image_folder"  # files of configs/
    suite.methods = ",".join(["maem", *(f"{_NAME}:{name}" for name in _VARIANTS)])
    suite.seeds = "0"
    suite.overrides = ""  # of every run that has the key, such as "training.num_steps=1000 entropy.weight=0.01"
    return suite
