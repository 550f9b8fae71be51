"""Evaluation metrics: NumPy arrays in, plain Python numbers out."""

from buresgan_jax.metrics.frechet import frechet_distance as frechet_distance
from buresgan_jax.metrics.frechet import frechet_distance_from_statistics as frechet_distance_from_statistics
from buresgan_jax.metrics.inception_score import ClassStatistics as ClassStatistics
from buresgan_jax.metrics.inception_score import InceptionScore as InceptionScore
from buresgan_jax.metrics.inception_score import class_statistics as class_statistics
from buresgan_jax.metrics.inception_score import inception_score as inception_score
from buresgan_jax.metrics.inception_score import inception_score_from_statistics as inception_score_from_statistics
from buresgan_jax.metrics.inception_score import merge_class_statistics as merge_class_statistics
from buresgan_jax.metrics.kernel import KernelDistance as KernelDistance
from buresgan_jax.metrics.kernel import kernel_distance as kernel_distance
from buresgan_jax.metrics.kernel import subset_pairs as subset_pairs
from buresgan_jax.metrics.kernel import summarize_subsets as summarize_subsets
from buresgan_jax.metrics.kernel import unbiased_squared_mmd as unbiased_squared_mmd
from buresgan_jax.metrics.modes import ModeStatistics as ModeStatistics
from buresgan_jax.metrics.modes import mode_statistics as mode_statistics
from buresgan_jax.metrics.moments import GaussianStatistics as GaussianStatistics
from buresgan_jax.metrics.moments import Moments as Moments
from buresgan_jax.metrics.moments import gaussian_statistics as gaussian_statistics
from buresgan_jax.metrics.precision_recall import PrecisionRecall as PrecisionRecall
from buresgan_jax.metrics.precision_recall import precision_recall as precision_recall
from buresgan_jax.metrics.sliced_wasserstein import SlicedWasserstein as SlicedWasserstein
from buresgan_jax.metrics.sliced_wasserstein import sliced_wasserstein as sliced_wasserstein
from buresgan_jax.metrics.sliced_wasserstein import sliced_wasserstein_distance as sliced_wasserstein_distance
