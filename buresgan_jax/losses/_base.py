"""The common form of adversarial losses."""

from collections.abc import Callable
from typing import NamedTuple

import jax


class AdversarialLoss(NamedTuple):
    """Two functions `(real_outputs, fake_outputs) -> scalar`, each minimized by its player.

    The arguments are the discriminator's outputs on a real and a fake batch, `[batch, output_dim]`. Both functions get
    both, so that kernel and relativistic losses have the same form.
    """

    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]
