"""Penalties: pure functions of the features of a fake and a real batch, or of the discriminator between the two."""

from buresgan_jax.distances import METHODS as METHODS
from buresgan_jax.penalties._bures import bures_penalty as bures_penalty
from buresgan_jax.penalties._frobenius import frobenius_penalty as frobenius_penalty
from buresgan_jax.penalties._gdpp import gdpp_penalty as gdpp_penalty
from buresgan_jax.penalties._gradient import gradient_penalty as gradient_penalty
