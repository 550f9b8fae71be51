"""The common form of adversarial losses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class AdversarialLoss(NamedTuple):
    """Two functions `(real_outputs, fake_outputs) -> scalar`, each minimized by its player.

    The arguments are the discriminator's outputs on a real and a fake batch, `[batch, output_dim]`. Both functions get
    both, so that kernel and relativistic losses have the same form. They may also return `(scalar, metrics)`.

    Attributes:
        discriminator: The discriminator's loss.
        generator: The generator's loss.
        log_ratio: `outputs -> log(p / q)`, the log ratio of the densities of data and samples, for losses whose optimal
            discriminator knows it; else None. The metric `divergence_bounds` takes it.
    """

    discriminator: Callable[[jax.Array, jax.Array], Any]
    generator: Callable[[jax.Array, jax.Array], Any]
    log_ratio: Callable[[jax.Array], jax.Array] | None = None
