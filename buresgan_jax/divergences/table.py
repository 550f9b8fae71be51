"""The table of divergences: what the losses of GANs minimize, and their relatives."""

import math

import jax
import jax.numpy as jnp

from buresgan_jax.divergences.divergence import Divergence, TailWeights

_LOG_2 = math.log(2)


@jax.custom_jvp
def log_twice_sigmoid(d: jax.Array) -> jax.Array:
    """Computes `log(2 / (1 + e^-d)) = log 2 - softplus(-d)`, to full relative precision around 0."""
    return jnp.where(jnp.abs(d) < 1, jnp.log1p(jnp.tanh(jnp.clip(d, -1, 1) / 2)), _LOG_2 - jax.nn.softplus(-d))


@log_twice_sigmoid.defjvp
def _(primals, tangents):
    return log_twice_sigmoid(*primals), jax.nn.sigmoid(-primals[0]) * tangents[0]


@jax.custom_jvp
def _centered_sigmoid(d):
    """`4 sigmoid(d) - 2`, with a derivative that keeps its digits far from 0."""
    return 2 * jnp.tanh(d / 2)


@_centered_sigmoid.defjvp
def _(primals, tangents):
    (d,), (tangent,) = primals, tangents
    return _centered_sigmoid(d), 4 * jax.nn.sigmoid(d) * jax.nn.sigmoid(-d) * tangent


_ALL = (
    Divergence(
        "kl",
        "KL(p || q)",
        lambda d: d,
        jnp.expm1,
        TailWeights(1, 2),
        1.0,
        math.inf,
        ((1.0, 1.0),),
    ),
    Divergence(
        "reverse_kl",
        "KL(q || p)",
        lambda d: -jnp.expm1(-d),
        lambda d: d,
        TailWeights(2, 1),
        math.inf,
        1.0,
        ((1.0, 2.0),),
    ),
    Divergence(
        "jeffreys",
        "(KL(p || q) + KL(q || p)) / 2",
        lambda d: (d - jnp.expm1(-d)) / 2,
        lambda d: (jnp.expm1(d) + d) / 2,
        TailWeights(2, 2),
        math.inf,
        math.inf,
        ((0.5, 1.0), (0.5, 2.0)),
    ),
    Divergence(
        "squared_hellinger",
        "2 integral (sqrt p - sqrt q)^2",
        lambda d: -2 * jnp.expm1(-d / 2),
        lambda d: 2 * jnp.expm1(d / 2),
        TailWeights(1.5, 1.5),
        2.0,
        2.0,
        ((1.0, 1.5),),
    ),
    Divergence(
        "pearson",
        "integral (p - q)^2 / (2 q)",
        jnp.expm1,
        lambda d: jnp.expm1(2 * d) / 2,
        TailWeights(0, 3),
        0.5,
        math.inf,
        ((1.0, 0.0),),
    ),
    Divergence(
        "neyman",
        "integral (p - q)^2 / (2 p)",
        lambda d: -jnp.expm1(-2 * d) / 2,
        lambda d: -jnp.expm1(-d),
        TailWeights(3, 0),
        math.inf,
        0.5,
        ((1.0, 3.0),),
    ),
    Divergence(
        "jensen_shannon",
        "2 KL(p || m) + 2 KL(q || m), m = (p + q) / 2; the saturating GAN",
        lambda d: 2 * log_twice_sigmoid(d),
        lambda d: -2 * log_twice_sigmoid(-d),
        TailWeights(1, 1),
        2 * _LOG_2,
        2 * _LOG_2,
    ),
    Divergence(
        "softened_reverse_kl",
        "4 KL(m || p), m = (p + q) / 2; the non-saturating GAN",
        lambda d: -2 * (log_twice_sigmoid(d) + jnp.expm1(-d)),
        lambda d: 2 * log_twice_sigmoid(d),
        TailWeights(2, 0),
        math.inf,
        2 - 2 * _LOG_2,
    ),
    Divergence(
        "softened_kl",
        "4 KL(p || m), m = (p + q) / 2",
        lambda d: 4 * log_twice_sigmoid(d) - _centered_sigmoid(d),
        lambda d: _centered_sigmoid(d),
        TailWeights(1, 0),
        2.0,
        4 * _LOG_2 - 2,
    ),
    Divergence(
        "reversed_softened_reverse_kl",
        "4 KL(m || q), m = (p + q) / 2",
        lambda d: -2 * log_twice_sigmoid(-d),
        lambda d: 2 * (log_twice_sigmoid(-d) + jnp.expm1(d)),
        TailWeights(0, 2),
        2 - 2 * _LOG_2,
        math.inf,
    ),
    Divergence(
        "reversed_softened_kl",
        "4 KL(q || m), m = (p + q) / 2",
        lambda d: _centered_sigmoid(d),
        lambda d: -4 * log_twice_sigmoid(-d) - _centered_sigmoid(d),
        TailWeights(0, 1),
        4 * _LOG_2 - 2,
        2.0,
    ),
)

DIVERGENCES: dict[str, Divergence] = {each.name: each for each in _ALL}
