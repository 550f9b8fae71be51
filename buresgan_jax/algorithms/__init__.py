"""Training algorithms: how a state goes from one step to the next."""

from buresgan_jax.algorithms.alternating import alternating as alternating
from buresgan_jax.algorithms.apply import apply as apply
from buresgan_jax.algorithms.gan import gan as gan
from buresgan_jax.algorithms.mdgan import mdgan_v1 as mdgan_v1
from buresgan_jax.algorithms.mdgan import mdgan_v2 as mdgan_v2
from buresgan_jax.algorithms.protocol import Algorithm as Algorithm
from buresgan_jax.algorithms.protocol import Auxiliary as Auxiliary
from buresgan_jax.algorithms.protocol import Batch as Batch
from buresgan_jax.algorithms.protocol import Game as Game
from buresgan_jax.algorithms.protocol import GANState as GANState
from buresgan_jax.algorithms.protocol import Move as Move
from buresgan_jax.algorithms.protocol import NetworkState as NetworkState
from buresgan_jax.algorithms.protocol import Optimizer as Optimizer
from buresgan_jax.algorithms.protocol import Step as Step
from buresgan_jax.algorithms.protocol import Term as Term
from buresgan_jax.algorithms.scaled import scaled as scaled
from buresgan_jax.algorithms.state import make_algorithm as make_algorithm
from buresgan_jax.algorithms.unrolled import unrolled as unrolled
from buresgan_jax.algorithms.veegan import veegan as veegan
