"""CIFAR-10: every method of the BuresGAN paper, https://arxiv.org/abs/2006.09096, and the hinge loss.

    python -m buresgan_jax.suite --config=configs/suites/cifar.py --workdir=runs/cifar_suite

100,000 steps of batch 256: for a GPU. The table holds the Frechet and kernel distance to the training images and the
authors' sliced Wasserstein distance, of 10,000 images of the averaged generator. The features are coarse colors, which
need no weights. For FID, KID and the inception score replace the overrides:

    --config.overrides="evaluation.metrics=fid,kid,inception_score evaluation.extractor=inception_v3
    evaluation.num_samples=10_000 evaluation.every_steps=25_000"

For the ResNets: `--config.data=cifar_resnet`. For a folder of pictures: `--config.data=image_folder`, with
`data.path=FOLDER data.image_size=32` in the overrides. The whole suite has not been run.
"""

from ml_collections import config_dict

from buresgan_jax.config import PAPER_METHODS


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "cifar"  # files of configs/
    suite.methods = ",".join(PAPER_METHODS)
    suite.seeds = "0:10"
    suite.overrides = " ".join(  # of every run
        (
            "evaluation.metrics=frechet_distance,kernel_distance,sliced_wasserstein",
            "evaluation.num_samples=10_000",
            "evaluation.every_steps=25_000",
        )
    )
    return suite
