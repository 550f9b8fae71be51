"""Distances between covariances and between batches of features, and their linear algebra. Depends on JAX only."""

from buresgan_jax.distances import validate as validate
from buresgan_jax.distances.bures import bures_distance as bures_distance
from buresgan_jax.distances.bures import fidelity as fidelity
from buresgan_jax.distances.bures import pairwise_squared_bures_distance as pairwise_squared_bures_distance
from buresgan_jax.distances.bures import squared_bures_distance as squared_bures_distance
from buresgan_jax.distances.embedding import EMBEDDING_METRICS as EMBEDDING_METRICS
from buresgan_jax.distances.embedding import MetricEmbedding as MetricEmbedding
from buresgan_jax.distances.embedding import bourgain_embedding as bourgain_embedding
from buresgan_jax.distances.embedding import embedding_dim as embedding_dim
from buresgan_jax.distances.entropy import NEIGHBOR_METRICS as NEIGHBOR_METRICS
from buresgan_jax.distances.entropy import NeighborMetric as NeighborMetric
from buresgan_jax.distances.entropy import nearest_neighbor_cross_entropy as nearest_neighbor_cross_entropy
from buresgan_jax.distances.entropy import nearest_neighbor_entropy as nearest_neighbor_entropy
from buresgan_jax.distances.entropy import squared_neighbor_distances as squared_neighbor_distances
from buresgan_jax.distances.features import bures_distance_from_features as bures_distance_from_features
from buresgan_jax.distances.features import prepare_features as prepare_features
from buresgan_jax.distances.features import squared_bures_distance_from_features as squared_bures_distance_from_features
from buresgan_jax.distances.frobenius import frobenius_distance as frobenius_distance
from buresgan_jax.distances.frobenius import squared_frobenius_distance as squared_frobenius_distance
from buresgan_jax.distances.frobenius import (
    squared_frobenius_distance_from_features as squared_frobenius_distance_from_features,
)
from buresgan_jax.distances.gaussians import bures_wasserstein_distance as bures_wasserstein_distance
from buresgan_jax.distances.gaussians import squared_bures_wasserstein_distance as squared_bures_wasserstein_distance
from buresgan_jax.distances.geometry import bures_barycenter as bures_barycenter
from buresgan_jax.distances.geometry import bures_geodesic as bures_geodesic
from buresgan_jax.distances.geometry import bures_transport_map as bures_transport_map
from buresgan_jax.distances.kernels import cauchy_kernel as cauchy_kernel
from buresgan_jax.distances.kernels import gaussian_kernel as gaussian_kernel
from buresgan_jax.distances.kernels import linear_kernel as linear_kernel
from buresgan_jax.distances.kernels import rational_quadratic_kernel as rational_quadratic_kernel
from buresgan_jax.distances.linalg import inv_sqrtm as inv_sqrtm
from buresgan_jax.distances.linalg import sqrtm as sqrtm
from buresgan_jax.distances.methods import METHODS as METHODS
from buresgan_jax.distances.methods import Method as Method
from buresgan_jax.distances.methods import Scale as Scale
from buresgan_jax.distances.mmd import mean_kernel as mean_kernel
from buresgan_jax.distances.mmd import mmd_witness as mmd_witness
from buresgan_jax.distances.mmd import squared_mmd as squared_mmd
from buresgan_jax.distances.structured import squared_bures_distance_low_rank as squared_bures_distance_low_rank
from buresgan_jax.distances.structured import squared_bures_distance_of_diagonals as squared_bures_distance_of_diagonals
