"""Training algorithms: how a state goes from one step to the next."""

from buresgan_jax.algorithms.alternating import alternating as alternating
from buresgan_jax.algorithms.game import Game as Game
from buresgan_jax.algorithms.gan import gan as gan
from buresgan_jax.algorithms.protocol import Algorithm as Algorithm
from buresgan_jax.algorithms.protocol import GANState as GANState
from buresgan_jax.algorithms.protocol import NetworkState as NetworkState
from buresgan_jax.algorithms.protocol import Optimizer as Optimizer
from buresgan_jax.algorithms.protocol import Penalty as Penalty
