"""GANs that do not collapse: the Bures distance as a diversity penalty, in JAX and Flax.

This namespace is the array API: pure functions for any JAX program. It loads neither Flax nor TensorFlow and changes
no JAX settings. To train, run `python -m buresgan_jax.main`.
"""

from buresgan_jax.distances import bures_barycenter as bures_barycenter
from buresgan_jax.distances import bures_distance as bures_distance
from buresgan_jax.distances import bures_distance_from_features as bures_distance_from_features
from buresgan_jax.distances import bures_geodesic as bures_geodesic
from buresgan_jax.distances import bures_transport_map as bures_transport_map
from buresgan_jax.distances import bures_wasserstein_distance as bures_wasserstein_distance
from buresgan_jax.distances import fidelity as fidelity
from buresgan_jax.distances import frobenius_distance as frobenius_distance
from buresgan_jax.distances import inv_sqrtm as inv_sqrtm
from buresgan_jax.distances import pairwise_squared_bures_distance as pairwise_squared_bures_distance
from buresgan_jax.distances import sqrtm as sqrtm
from buresgan_jax.distances import squared_bures_distance as squared_bures_distance
from buresgan_jax.distances import squared_bures_distance_from_features as squared_bures_distance_from_features
from buresgan_jax.distances import squared_bures_distance_low_rank as squared_bures_distance_low_rank
from buresgan_jax.distances import squared_bures_distance_of_diagonals as squared_bures_distance_of_diagonals
from buresgan_jax.distances import squared_bures_wasserstein_distance as squared_bures_wasserstein_distance
from buresgan_jax.distances import squared_frobenius_distance as squared_frobenius_distance
from buresgan_jax.distances import squared_frobenius_distance_from_features as squared_frobenius_distance_from_features
from buresgan_jax.distances import validate as validate

__version__ = "0.1.0"
