"""Evaluation metrics: NumPy arrays in, plain Python numbers out."""

from buresgan_jax.metrics.modes import ModeStatistics as ModeStatistics
from buresgan_jax.metrics.modes import mode_statistics as mode_statistics
