"""Latent distributions: what the generator's input is drawn from."""

from buresgan_jax.latents._embedding import embedding as embedding
from buresgan_jax.latents._noise import normal as normal
from buresgan_jax.latents._noise import uniform as uniform
from buresgan_jax.latents.base import Latent as Latent
from buresgan_jax.latents.base import Preparation as Preparation
