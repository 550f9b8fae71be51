"""Adversarial losses: pure functions of the discriminator's outputs on real and fake batches."""

from buresgan_jax.losses._base import AdversarialLoss as AdversarialLoss
from buresgan_jax.losses._f_divergence import f_gan as f_gan
from buresgan_jax.losses._f_divergence import f_gan_losses as f_gan_losses
from buresgan_jax.losses._hinge import hinge as hinge
from buresgan_jax.losses._minimax import non_saturating as non_saturating
from buresgan_jax.losses._mmd import MMD_KERNELS as MMD_KERNELS
from buresgan_jax.losses._mmd import mmd as mmd
from buresgan_jax.losses._mmd import mmd_discriminator_loss as mmd_discriminator_loss
from buresgan_jax.losses._mmd import mmd_generator_loss as mmd_generator_loss
from buresgan_jax.losses._relativistic import pairing as pairing
from buresgan_jax.losses._wasserstein import wasserstein as wasserstein
