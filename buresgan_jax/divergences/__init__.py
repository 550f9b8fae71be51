"""f-divergences: what the losses of GANs minimize. Depends on JAX and SciPy only.

`DIVERGENCES` holds eleven by name. The constructions make others of them, of a number, or of your own f''.
"""

from buresgan_jax.divergences.constructions import average as average
from buresgan_jax.divergences.constructions import from_second_derivative as from_second_derivative
from buresgan_jax.divergences.constructions import non_saturating as non_saturating
from buresgan_jax.divergences.constructions import power as power
from buresgan_jax.divergences.constructions import reverse as reverse
from buresgan_jax.divergences.constructions import soften as soften
from buresgan_jax.divergences.constructions import tail_weights as tail_weights
from buresgan_jax.divergences.divergence import Divergence as Divergence
from buresgan_jax.divergences.divergence import TailWeights as TailWeights
from buresgan_jax.divergences.fitting import GaussianFit as GaussianFit
from buresgan_jax.divergences.fitting import fit_gaussian as fit_gaussian
from buresgan_jax.divergences.table import DIVERGENCES as DIVERGENCES
from buresgan_jax.divergences.values import divergence_between_categoricals as divergence_between_categoricals
from buresgan_jax.divergences.values import divergence_between_densities as divergence_between_densities
from buresgan_jax.divergences.values import divergence_between_gaussians as divergence_between_gaussians
from buresgan_jax.divergences.values import divergence_of_dropped_share as divergence_of_dropped_share
from buresgan_jax.divergences.values import divergence_of_junk_share as divergence_of_junk_share
from buresgan_jax.divergences.values import ordering_constant as ordering_constant
from buresgan_jax.divergences.values import variational_bound as variational_bound
from buresgan_jax.divergences.values import variational_bounds as variational_bounds
