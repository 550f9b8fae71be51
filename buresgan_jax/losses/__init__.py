"""Adversarial losses: pure functions of the discriminator's outputs on real and fake batches."""

from buresgan_jax.losses._base import AdversarialLoss as AdversarialLoss
from buresgan_jax.losses._hinge import hinge as hinge
from buresgan_jax.losses._minimax import non_saturating as non_saturating
from buresgan_jax.losses._wasserstein import wasserstein as wasserstein
