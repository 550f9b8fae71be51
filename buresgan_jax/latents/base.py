"""What every latent distribution is, and what is prepared of the data for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Preparation(NamedTuple):
    """Arrays that are computed once from the data, before the first step of a new run.

    Attributes:
        compute: `(source, seed) -> arrays`, on the host. Long loops can show `runtime.progress_bar.track`.
        like: Shapes and dtypes of these arrays (`jax.ShapeDtypeStruct`), known without the data.
    """

    compute: Callable[[Any, int], Any]
    like: Any


class Latent(NamedTuple):
    """A latent distribution; its arrays, if it has any, live in the training state.

    Attributes:
        dim: Dimension of z.
        sample: `(arrays, key, n) -> z [n, dim]`, jittable.
        preparation: Makes the arrays from the data. Default: there are none.
        centers: `arrays -> [n, dim]`, the points that samples lie around, which pictures show. Default: there are none.
    """

    dim: int
    sample: Callable[[Any, jax.Array, int], jax.Array]
    preparation: Preparation | None = None
    centers: Callable[[Any], jax.Array] | None = None
