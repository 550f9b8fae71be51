"""Latent distributions: what the generator's input is drawn from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from buresgan_jax.ops import random


class Latent(NamedTuple):
    """A latent distribution whose arrays, if it has any, live in the training state.

    `init(key) -> arrays` runs once (a fitted distribution closes over its data); `sample(arrays, key, n) -> z` is
    jittable and gives `[n, latent_dim]`.
    """

    init: Callable[[jax.Array], Any]
    sample: Callable[[Any, jax.Array, int], jax.Array]


def normal(latent_dim: int) -> Latent:
    """Standard normal, float32."""
    return Latent(lambda key: (), lambda arrays, key, n: random.normal(key, (n, latent_dim)))


def uniform(latent_dim: int) -> Latent:
    """Uniform on [-1, 1) in every coordinate, float32."""
    return Latent(lambda key: (), lambda arrays, key, n: random.uniform(key, (n, latent_dim), -1, 1))
