"""MMD-GANs beside the hinge loss, the plain GAN and BuresGAN, and the repulsive loss with the Bures distance added.

    python -m buresgan_jax.suite --config=configs/suites/mmd.py --workdir=runs/mmd

Ring and grid, three seeds, 25,000 steps. For a folder of pictures, all methods on the same spectrally normalized
networks:

    --config.data=image_folder --config.seeds=0:1 --config.overrides="data.path=FOLDER training.num_steps=2000
    training.batch_size=64 generator.name=sngan discriminator.name=sngan discriminator.spectral_norm=operator
    discriminator.spectral_multiplier=1.682 latent.dim=128 optimizer.discriminator_learning_rate=5e-4
    optimizer.generator_learning_rate=5e-4 optimizer.eps=1e-8 evaluation.metrics=frechet_distance
    evaluation.every_steps=500"
"""

from ml_collections import config_dict


def get_config():
    """The suite: names with commas between them."""
    suite = config_dict.ConfigDict()
    suite.data = "ring,grid"  # files of configs/
    suite.methods = "gan,hinge,bures,mmd_attractive,mmd_repulsive,mmd_repulsive_bounded,mmd_repulsive+bures"
    suite.seeds = "0:3"
    suite.overrides = ""  # of every run that has the key, such as "training.num_steps=1000 bures.weight=2"
    return suite
