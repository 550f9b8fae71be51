"""Flax networks: generators map `z` to samples, discriminators map samples to `(outputs, features)`, encoders to z."""

from buresgan_jax.networks.batch_norm import BatchNorm as BatchNorm
from buresgan_jax.networks.dcgan import DCGANDiscriminator as DCGANDiscriminator
from buresgan_jax.networks.dcgan import DCGANGenerator as DCGANGenerator
from buresgan_jax.networks.dcgan import dcgan_discriminator as dcgan_discriminator
from buresgan_jax.networks.dcgan import dcgan_generator as dcgan_generator
from buresgan_jax.networks.digit_classifier import DigitClassifier as DigitClassifier
from buresgan_jax.networks.encoder import DCGANEncoder as DCGANEncoder
from buresgan_jax.networks.encoder import DCGANPairDiscriminator as DCGANPairDiscriminator
from buresgan_jax.networks.encoder import MLPEncoder as MLPEncoder
from buresgan_jax.networks.encoder import MLPPairDiscriminator as MLPPairDiscriminator
from buresgan_jax.networks.encoder import ResNetPairDiscriminator as ResNetPairDiscriminator
from buresgan_jax.networks.encoder import dcgan_encoder as dcgan_encoder
from buresgan_jax.networks.layers import Conv as Conv
from buresgan_jax.networks.layers import ConvTranspose as ConvTranspose
from buresgan_jax.networks.layers import Dense as Dense
from buresgan_jax.networks.layers import at_least_float32 as at_least_float32
from buresgan_jax.networks.layers import leaky_relu as leaky_relu
from buresgan_jax.networks.mlp import MLPDiscriminator as MLPDiscriminator
from buresgan_jax.networks.mlp import MLPGenerator as MLPGenerator
from buresgan_jax.networks.packed import Packed as Packed
from buresgan_jax.networks.resnet import ResNetDiscriminator as ResNetDiscriminator
from buresgan_jax.networks.resnet import ResNetGenerator as ResNetGenerator
from buresgan_jax.networks.resnet import resnet_discriminator as resnet_discriminator
from buresgan_jax.networks.resnet import resnet_generator as resnet_generator
