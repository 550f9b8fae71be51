"""Plain noise."""

from buresgan_jax import declarations, ops
from buresgan_jax.latents.base import Latent


@declarations.latent("normal", "standard normal")
def normal(dim: int) -> Latent:
    """Standard normal, float32."""
    return Latent(dim, lambda arrays, key, n: ops.normal(key, (n, dim)))


@declarations.latent("uniform", "uniform on [-1, 1)")
def uniform(dim: int) -> Latent:
    """Uniform on [-1, 1) in every coordinate, float32."""
    return Latent(dim, lambda arrays, key, n: ops.uniform(key, (n, dim), -1, 1))
