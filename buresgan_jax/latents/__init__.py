"""Latent distributions: what the generator's input is drawn from."""

from buresgan_jax.latents.base import Latent as Latent
from buresgan_jax.latents.base import normal as normal
from buresgan_jax.latents.base import uniform as uniform
