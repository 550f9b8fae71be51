"""Penalties: pure functions of features or of the discriminator, and terms that add them to an objective."""

from buresgan_jax.distances import METHODS as METHODS
from buresgan_jax.penalties._bures import bures_penalty as bures_penalty
from buresgan_jax.penalties._bures import bures_term as bures_term
from buresgan_jax.penalties._frobenius import frobenius_penalty as frobenius_penalty
from buresgan_jax.penalties._frobenius import frobenius_term as frobenius_term
from buresgan_jax.penalties._gdpp import gdpp_penalty as gdpp_penalty
from buresgan_jax.penalties._gdpp import gdpp_term as gdpp_term
from buresgan_jax.penalties._gradient import gradient_penalty as gradient_penalty
from buresgan_jax.penalties._gradient import gradient_penalty_term as gradient_penalty_term
from buresgan_jax.penalties._gradient import reject_batch_norm as reject_batch_norm
from buresgan_jax.penalties._latent_distance import latent_distance_term as latent_distance_term
from buresgan_jax.penalties._latent_distance import log_distance_penalty as log_distance_penalty
from buresgan_jax.penalties._pseudo_supervision import pseudo_supervision_term as pseudo_supervision_term
from buresgan_jax.penalties._sample_mmd import sample_mmd_penalty as sample_mmd_penalty
from buresgan_jax.penalties._sample_mmd import sample_mmd_term as sample_mmd_term
from buresgan_jax.penalties._witness import witness_gradient_penalty as witness_gradient_penalty
from buresgan_jax.penalties._witness import witness_gradient_penalty_term as witness_gradient_penalty_term
from buresgan_jax.penalties._zero_centered import r1_term as r1_term
from buresgan_jax.penalties._zero_centered import r2_term as r2_term
from buresgan_jax.penalties._zero_centered import zero_centered_gradient_penalty as zero_centered_gradient_penalty
