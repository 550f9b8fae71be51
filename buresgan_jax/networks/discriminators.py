"""The discriminators that a config can name, for samples or for pairs (z, sample)."""

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.networks.dcgan import BASE_FILTERS, VARIANT, DCGANDiscriminator, dcgan_discriminator
from buresgan_jax.networks.encoder import DCGANPairDiscriminator, MLPPairDiscriminator, ResNetPairDiscriminator
from buresgan_jax.networks.mlp import HIDDEN, MLPDiscriminator
from buresgan_jax.networks.resnet import WIDTH, ResNetDiscriminator, resnet_discriminator

PAIR_HIDDEN = Option(
    "pair_hidden", (512, 512), "widths of the dense layers on z and the image's features", least=1, smoke=(8,)
)
BATCH_NORM = Option("use_batch_norm", True, "batch norm after the convolutions")


@declarations.discriminator("mlp", "fully connected, for points", HIDDEN, data="points", takes_pairs=True)
def discriminator_mlp(example_shape, *, output_dim, axis_name, dtype, hidden, pairs=False):
    """Builds `MLPDiscriminator` or `MLPPairDiscriminator`."""
    del example_shape
    kind = MLPPairDiscriminator if pairs else MLPDiscriminator
    return kind(hidden, output_dim, axis_name, dtype)


@declarations.discriminator(
    "dcgan",
    "5x5 convolutions, for images",
    VARIANT,
    BASE_FILTERS,
    BATCH_NORM,
    PAIR_HIDDEN,
    data="images",
    takes_pairs=True,
)
def discriminator_dcgan(example_shape, *, pairs=False, pair_hidden, **attributes):
    """Builds `dcgan_discriminator` for square images, for samples or for pairs."""
    kind = DCGANDiscriminator
    if pairs:
        kind, attributes = DCGANPairDiscriminator, attributes | {"hidden": pair_hidden}
    return dcgan_discriminator(example_shape[0], kind=kind, **attributes)


@declarations.discriminator(
    "resnet",
    "residual blocks, for images of 32, 48 or 96 pixels",
    WIDTH,
    PAIR_HIDDEN,
    data="images",
    takes_pairs=True,
)
def discriminator_resnet(example_shape, *, pairs=False, pair_hidden, **attributes):
    """Builds `resnet_discriminator` for square images, for samples or for pairs."""
    kind = ResNetDiscriminator
    if pairs:
        kind, attributes = ResNetPairDiscriminator, attributes | {"hidden": pair_hidden}
    return resnet_discriminator(example_shape[0], kind=kind, **attributes)
