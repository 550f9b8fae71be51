"""Evaluation metrics: NumPy arrays in, plain Python numbers out."""

from buresgan_jax.metrics.frechet import frechet_distance as frechet_distance
from buresgan_jax.metrics.frechet import frechet_distance_from_statistics as frechet_distance_from_statistics
from buresgan_jax.metrics.modes import ModeStatistics as ModeStatistics
from buresgan_jax.metrics.modes import mode_statistics as mode_statistics
from buresgan_jax.metrics.moments import GaussianStatistics as GaussianStatistics
from buresgan_jax.metrics.moments import Moments as Moments
from buresgan_jax.metrics.moments import gaussian_statistics as gaussian_statistics
