"""What every adversarial loss is."""

from collections.abc import Callable
from typing import NamedTuple

import jax


class AdversarialLoss(NamedTuple):
    """Two functions `(real_outputs, fake_outputs) -> scalar`, both to be minimized.

    The outputs are those of the discriminator on a real and a fake batch, `[batch, output_dim]`. Both sides see both,
    so that kernel and relativistic losses fit unchanged.
    """

    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]
