"""Divergences made of others, of a number, or of the user's own f''."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.divergences import _quadrature
from buresgan_jax.divergences.divergence import Divergence, TailWeights
from buresgan_jax.divergences.table import expm1, log_twice_sigmoid

_FAR = 30.0  # logit at which a tail has reached its power law
_TOLERANCE = 1e-3  # of the exponent of a tail


def reverse(divergence: Divergence, *, name: str | None = None) -> Divergence:
    """Returns the divergence with p and q exchanged: `f_R(u) = u f(1 / u)`. Its tail weights are exchanged too.

    Args:
        divergence: Any divergence.
        name: Name of the result. Default: `reversed_` and the old name.
    """
    left, right = divergence.tails
    return Divergence(
        name or f"reversed_{divergence.name}",
        f"{divergence.meaning}, with p and q exchanged",
        lambda d: -divergence.fake_score(-d),
        lambda d: -divergence.real_score(-d),
        lambda d: jnp.exp(d) * divergence.weight(-d),
        TailWeights(right, left),
        divergence.slope_at_infinity,
        divergence.at_zero,
        tuple((weight, 3 - c) for weight, c in divergence.powers),
        divergence.largest_logit,
    )


def soften(divergence: Divergence, *, name: str | None = None) -> Divergence:
    """Returns the softened divergence `4 D(p, (p + q) / 2)`. The right tail weight becomes 0.

    Softening charges missed data less and bad samples as before. It makes `softened_reverse_kl`, which the
    non-saturating GAN minimizes, of `reverse_kl`.

    Args:
        divergence: Any divergence.
        name: Name of the result. Default: `softened_` and the old name.

    References:
        Shannon et al., "Non-saturating GAN training as divergence minimization", 2020.
        https://arxiv.org/abs/2010.08029.
    """

    def real_score(d):
        e = log_twice_sigmoid(d)
        return 4 * divergence.real_score(e) - 2 * divergence.fake_score(e)

    with jax.enable_x64(True):
        slope_at_infinity = float(real_score(jnp.asarray(math.inf)))
    return Divergence(
        name or f"softened_{divergence.name}",
        f"4 D(p, (p + q) / 2) of {divergence.name}",
        real_score,
        lambda d: 2 * divergence.fake_score(log_twice_sigmoid(d)),
        lambda d: 2 * divergence.weight(log_twice_sigmoid(d)) * jax.nn.sigmoid(-d),
        TailWeights(divergence.tails.left, 0),
        2 * divergence.at_zero,
        slope_at_infinity,
        largest_logit=divergence.largest_logit,
    )


def average(first: Divergence, second: Divergence, weight: float = 0.5, *, name: str | None = None) -> Divergence:
    """Returns `(1 - weight) first + weight second`. Each of its tail weights is the larger one of the two.

    Args:
        first: Any divergence.
        second: Any other.
        weight: Share of the second, above 0 and below 1.
        name: Name of the result. Default: the two names.

    Raises:
        ValueError: The weight is not between 0 and 1.
    """
    if not 0 < weight < 1:
        raise ValueError(f"weight must be above 0 and below 1, got {weight}.")
    pairs = (1 - weight, first), (weight, second)
    powers = tuple((share * factor, c) for share, each in pairs for factor, c in each.powers)
    return Divergence(
        name or f"{first.name}_and_{second.name}",
        f"{1 - weight:g} of {first.name} and {weight:g} of {second.name}",
        lambda d: sum(share * each.real_score(d) for share, each in pairs),
        lambda d: sum(share * each.fake_score(d) for share, each in pairs),
        lambda d: sum(share * each.weight(d) for share, each in pairs),
        TailWeights(*map(max, first.tails, second.tails)),
        sum(share * each.at_zero for share, each in pairs),
        sum(share * each.slope_at_infinity for share, each in pairs),
        powers if first.powers and second.powers else (),
        min(first.largest_logit, second.largest_logit),
    )


def non_saturating(divergence: Divergence, *, name: str | None = None) -> Divergence:
    """Returns what a generator minimizes that maximizes the critic's score of real examples, `E_q a(d)`.

    That is the trick of the non-saturating GAN for any f. The result g has `g''(u) = f''(u) / u`, and the tail weights
    (left + 1, right - 1): it seeks modes more than f. It turns `jensen_shannon` into `softened_reverse_kl`, and `kl`
    into `reverse_kl`.

    Args:
        divergence: Any divergence.
        name: Name of the result. Default: `non_saturating_` and the old name.
    """
    left, right = divergence.tails
    return _from_weight(
        name or f"non_saturating_{divergence.name}",
        f"E_q a(d) of {divergence.name} for a(d) its score of real examples",
        lambda d: divergence.weight(d) * jnp.exp(-d),
        TailWeights(left + 1, right - 1),
        fake_score=divergence.real_score,
        powers=tuple((weight, c + 1) for weight, c in divergence.powers),
    )


def power(exponent: float, *, name: str | None = None) -> Divergence:
    """Returns the divergence with `f''(u) = u^-exponent`, and tail weights (exponent, 3 - exponent).

    Pearson's is 0, KL 1, the squared Hellinger distance 1.5, reverse KL 2, Neyman's 3: from seeking to cover all data
    to seeking modes. With other scales they are the alpha-divergences and the Cressie-Read family.

    Args:
        exponent: Any number.
        name: Name of the result. Default: `power_` and the exponent.
    """
    c = float(exponent)
    return Divergence(
        name or f"power_{c:g}",
        f"the divergence with f''(u) = u^-{c:g}",
        _integral_of_exp(1 - c),
        _integral_of_exp(2 - c),
        lambda d: jnp.exp((2 - c) * d),
        TailWeights(c, 3 - c),
        1 / (2 - c) if c < 2 else math.inf,
        1 / (c - 1) if c > 1 else math.inf,
        ((1.0, c),),
    )


def from_second_derivative(
    second_derivative: Callable[[jax.Array], jax.Array], *, name: str = "own", tails: TailWeights | None = None
) -> Divergence:
    """Makes a divergence of f'' alone. The scores are integrals of it, by Gauss and Legendre's rule with 64 nodes.

    Args:
        second_derivative: `u -> f''(u)`, positive, elementwise, of floating arrays in JAX. Its scale does not matter.
        name: The name.
        tails: Its tail weights. Default: found by `tail_weights`.

    Returns:
        The divergence, in canonical form. Its functions hold for logits within +-30: beyond, `u^2 f''(u)` may overflow.
        In float64 they have nine digits and more for f'' like those of the table, in float32 six.

    Raises:
        ValueError: f'' is not positive and finite at 1, or its ends follow no power of u.
    """
    with jax.enable_x64(True):
        u = jnp.exp(jnp.linspace(-10, 10, 201))
        values = np.asarray(second_derivative(u))
    at_one = float(values[100])
    if not (values > 0).all() or not math.isfinite(at_one):
        bad = np.flatnonzero(~(values > 0))
        where = f"{float(u[bad[0]]):.3g}, got {values[bad[0]]:.3g}" if len(bad) else f"1, got {at_one}"
        raise ValueError(f"f'' must be positive and finite at {where}: otherwise f is not convex.")

    def weight(d):
        return jnp.exp(2 * d) * second_derivative(jnp.exp(d)) / at_one

    return _from_weight(name, "the divergence of a given f''", weight, tails or tail_weights(second_derivative))


def tail_weights(second_derivative: Callable[[jax.Array], jax.Array]) -> TailWeights:
    """Finds the tail weights of f'' from its slopes at e^-40 to e^-80 and e^40 to e^80, rounded to three digits.

    Args:
        second_derivative: `u -> f''(u)`, positive, elementwise, of floating arrays in JAX.

    Raises:
        ValueError: An end follows no power of u, such as one with a factor log u.
    """
    with jax.enable_x64(True):
        d = jnp.asarray([-80.0, -60.0, -40.0, 40.0, 60.0, 80.0])
        slopes = np.asarray(jnp.diff(jnp.log(second_derivative(jnp.exp(d)))))[[0, 1, 3, 4]] / 20
    if not np.isfinite(slopes).all() or max(abs(slopes[0] - slopes[1]), abs(slopes[2] - slopes[3])) > _TOLERANCE:
        raise ValueError(f"The ends of f'' follow no power of u: log f'' has the slopes {slopes} there.")
    left, right = -slopes[0], 3 + slopes[3]  # those farthest out
    return TailWeights(*(round(float(each), 3) + 0.0 for each in (left, right)))


def _integral_of_exp(rate):
    return (lambda d: d) if rate == 0 else (lambda d: expm1(rate * d) / rate)


def _from_weight(name, meaning, weight, tails, *, fake_score=None, powers=()):
    """A divergence from `weight(d) = u^2 f''(u)`; its ends are those of the integrals, carried on by their powers."""
    real_score = _quadrature.from_zero(lambda d: weight(d) * jnp.exp(-d))
    fake_score = fake_score or _quadrature.from_zero(weight)
    at_zero = slope_at_infinity = math.inf
    with jax.enable_x64(True):
        far = jnp.asarray(_FAR)
        if tails.left < 2:
            at_zero = -float(fake_score(-far)) + float(weight(-far)) / (2 - tails.left)
        if tails.right < 2:
            slope_at_infinity = float(real_score(far)) + float(weight(far) * jnp.exp(-far)) / (2 - tails.right)
    limits = at_zero, slope_at_infinity, powers, _FAR
    return Divergence(name, meaning, real_score, fake_score, weight, tails, *limits)
