"""The table of divergences: what the losses of GANs minimize, and their relatives."""

import math

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

from buresgan_jax.divergences.divergence import Divergence, TailWeights

_LOG_2 = math.log(2)


@jax.custom_jvp
def log_twice_sigmoid(d: jax.Array) -> jax.Array:
    """Computes `log(2 / (1 + e^-d)) = log 2 - softplus(-d)`, to full relative precision around 0."""
    return jnp.where(jnp.abs(d) < 1, jnp.log1p(jnp.tanh(jnp.clip(d, -1, 1) / 2)), _LOG_2 - jax.nn.softplus(-d))


@log_twice_sigmoid.defjvp
def _(primals, tangents):
    return log_twice_sigmoid(*primals), sigmoid(-primals[0]) * tangents[0]


@jax.custom_jvp
def expm1(d: jax.Array) -> jax.Array:
    """Computes `e^d - 1` with the derivative e^d, which keeps its digits where that is small; JAX takes `value + 1`."""
    return jnp.expm1(d)


@expm1.defjvp
def _(primals, tangents):
    return expm1(*primals), jnp.exp(primals[0]) * tangents[0]


@jax.custom_jvp
def _centered_sigmoid(d):
    """`4 sigmoid(d) - 2`, with a derivative that keeps its digits far from 0."""
    return 2 * jnp.tanh(d / 2)


@_centered_sigmoid.defjvp
def _(primals, tangents):
    return _centered_sigmoid(*primals), 4 * sigmoid(primals[0]) * sigmoid(-primals[0]) * tangents[0]


def _divergence(name, meaning, real_score, fake_score, weight, tails, limits, powers=()):
    return Divergence(name, meaning, real_score, fake_score, weight, TailWeights(*tails), *limits, powers)


_ALL = (
    _divergence(
        "kl",
        "KL(p || q)",
        lambda d: d,
        expm1,
        jnp.exp,
        (1, 2),
        (1.0, math.inf),
        ((1.0, 1.0),),
    ),
    _divergence(
        "reverse_kl",
        "KL(q || p)",
        lambda d: -expm1(-d),
        lambda d: d,
        jnp.ones_like,
        (2, 1),
        (math.inf, 1.0),
        ((1.0, 2.0),),
    ),
    _divergence(
        "jeffreys",
        "(KL(p || q) + KL(q || p)) / 2",
        lambda d: (d - expm1(-d)) / 2,
        lambda d: (expm1(d) + d) / 2,
        lambda d: (1 + jnp.exp(d)) / 2,
        (2, 2),
        (math.inf, math.inf),
        ((0.5, 1.0), (0.5, 2.0)),
    ),
    _divergence(
        "squared_hellinger",
        "2 integral (sqrt p - sqrt q)^2",
        lambda d: -2 * expm1(-d / 2),
        lambda d: 2 * expm1(d / 2),
        lambda d: jnp.exp(d / 2),
        (1.5, 1.5),
        (2.0, 2.0),
        ((1.0, 1.5),),
    ),
    _divergence(
        "pearson",
        "integral (p - q)^2 / (2 q)",
        expm1,
        lambda d: expm1(2 * d) / 2,
        lambda d: jnp.exp(2 * d),
        (0, 3),
        (0.5, math.inf),
        ((1.0, 0.0),),
    ),
    _divergence(
        "neyman",
        "integral (p - q)^2 / (2 p)",
        lambda d: -expm1(-2 * d) / 2,
        lambda d: -expm1(-d),
        lambda d: jnp.exp(-d),
        (3, 0),
        (math.inf, 0.5),
        ((1.0, 3.0),),
    ),
    _divergence(
        "jensen_shannon",
        "2 KL(p || m) + 2 KL(q || m), m = (p + q) / 2; the saturating GAN",
        lambda d: 2 * log_twice_sigmoid(d),
        lambda d: -2 * log_twice_sigmoid(-d),
        lambda d: 2 * sigmoid(d),
        (1, 1),
        (2 * _LOG_2, 2 * _LOG_2),
    ),
    _divergence(
        "softened_reverse_kl",
        "4 KL(m || p), m = (p + q) / 2; the non-saturating GAN",
        lambda d: -2 * (log_twice_sigmoid(d) + expm1(-d)),
        lambda d: 2 * log_twice_sigmoid(d),
        lambda d: 2 * sigmoid(-d),
        (2, 0),
        (math.inf, 2 - 2 * _LOG_2),
    ),
    _divergence(
        "softened_kl",
        "4 KL(p || m), m = (p + q) / 2",
        lambda d: 4 * log_twice_sigmoid(d) - _centered_sigmoid(d),
        _centered_sigmoid,
        lambda d: 4 * sigmoid(d) * sigmoid(-d),
        (1, 0),
        (2.0, 4 * _LOG_2 - 2),
    ),
    _divergence(
        "reversed_softened_reverse_kl",
        "4 KL(m || q), m = (p + q) / 2",
        lambda d: -2 * log_twice_sigmoid(-d),
        lambda d: 2 * (log_twice_sigmoid(-d) + expm1(d)),
        lambda d: 2 * jnp.exp(d) * sigmoid(d),
        (0, 2),
        (2 - 2 * _LOG_2, math.inf),
    ),
    _divergence(
        "reversed_softened_kl",
        "4 KL(q || m), m = (p + q) / 2",
        _centered_sigmoid,
        lambda d: -4 * log_twice_sigmoid(-d) - _centered_sigmoid(d),
        lambda d: 4 * sigmoid(d) ** 2,
        (0, 1),
        (4 * _LOG_2 - 2, 2.0),
    ),
)

DIVERGENCES: dict[str, Divergence] = {each.name: each for each in _ALL}
