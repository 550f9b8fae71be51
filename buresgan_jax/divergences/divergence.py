"""The type of an f-divergence.

p is the density of the data, q that of the model, u = p / q, and d = log u the logit of an optimal discriminator. A
divergence is `D(p, q) = E_q f(u)` with f convex, in canonical form: `f(1) = f'(1) = 0` and `f''(1) = 1`. All of them
then agree for close p and q. Two functions of the logit hold everything: `a = f'(u)` and `b = u f'(u) - f(u)`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from buresgan_jax.distances.public import Array, in_float32
from buresgan_jax.divergences import _quadrature

Score = Callable[[jax.Array], jax.Array]
_SMALL = 1.0  # logits below which f comes from an integral, as a difference would lose digits


class TailWeights(NamedTuple):
    """How f curves at its ends: `f''(u) ~ u^-left` for u to 0, and `~ u^(right - 3)` for u to infinity.

    Attributes:
        left: The price of bad samples, where the data have almost no density. Below 2 it is bounded. The generator's
            gradient at detected fakes vanishes below 2 (saturation), is constant at 2, and explodes above.
        right: The price of data that the model misses. Below 2 it is bounded. Below 1 missed data hardly attract
            samples.
    """

    left: float
    right: float


@dataclasses.dataclass(frozen=True)
class Divergence:
    """An f-divergence in canonical form. Its functions are elementwise, on floating arrays of any shape, and in nats.

    Attributes:
        name: Its name.
        meaning: What D(p, q) equals.
        real_score: The critic's function a of a logit on real examples. The critic maximizes `E_p a(d) - E_q b(d)`.
        fake_score: Its function b on fakes. The generator minimizes `-E_q b(d)`.
        tails: Its tail weights.
        at_zero: f(0), the price of a sample where the data have no density; inf: unbounded.
        slope_at_infinity: lim f(u) / u, the price of data where the model has no density; inf: unbounded.
        powers: Pairs (weight, c) if f'' is the sum of `weight u^-c`, for closed forms; else empty.

    References:
        Nowozin et al., "f-GAN", NeurIPS 2016. https://arxiv.org/abs/1606.00709. Shannon, "Properties of f-divergences
        and f-GAN training", 2020. https://arxiv.org/abs/2009.00757.
    """

    name: str
    meaning: str
    real_score: Score
    fake_score: Score
    tails: TailWeights
    at_zero: float
    slope_at_infinity: float
    powers: tuple[tuple[float, float], ...] = ()

    @in_float32
    def weight(self, logits: Array) -> jax.Array:
        """Computes `b'(d) = u^2 f''(u)`, the factor on the gradient of the logit by which a sample moves."""
        d = floating(logits)
        below, above = jnp.minimum(d, 0), jnp.maximum(d, 0)  # each form has all its digits on one side
        return jnp.where(d < 0, jnp.exp(below) * slope(self.real_score, below), slope(self.fake_score, above))

    @in_float32
    def of_logits(self, logits: Array) -> jax.Array:
        """Computes f(e^d), to full relative precision for small logits too.

        The logits are clipped where a score overflows: in float32 at 80 on the side of a score that grows like e^|d|,
        at 40 on that of one that grows like e^(2 |d|).
        """
        d = floating(logits)
        d = jnp.clip(d, *self._finite_range(d.dtype))
        is_small = jnp.abs(d) < _SMALL
        far, near = jnp.where(is_small, _SMALL, d), jnp.where(is_small, d, 0)
        points, weights = _quadrature.nodes(16)
        x = jnp.multiply.outer(near, jnp.asarray(points, d.dtype))
        integral = near * _quadrature.average(jnp.expm1(near[..., None] - x) * self.weight(x), weights)
        return jnp.where(is_small, integral, jnp.exp(far) * self.real_score(far) - self.fake_score(far))

    @in_float32
    def f(self, u: Array) -> jax.Array:
        """Computes f of density ratios, at least 0; `at_zero` where the ratio is 0."""
        u = floating(u)
        inside = self.of_logits(jnp.log(jnp.where(u > 0, u, 1)))
        return jnp.where(u > 0, inside, self.at_zero)

    @in_float32
    def derivative(self, u: Array) -> jax.Array:
        """Computes f'(u) of positive density ratios."""
        return self.real_score(jnp.log(floating(u)))

    @in_float32
    def second_derivative(self, u: Array) -> jax.Array:
        """Computes f''(u) of positive density ratios."""
        u = floating(u)
        return self.weight(jnp.log(u)) / u**2

    @in_float32
    def conjugate(self, t: Array) -> jax.Array:
        """Computes the convex conjugate `f*(t) = sup_u (u t - f(u))`; inf above `slope_at_infinity`.

        It solves `a(d) = t` for d by bisection and is then `b(d)`. The derivative is u.
        """
        return _conjugate(self, floating(t))

    def growth(self, *, of_real: bool) -> float:
        """Returns the largest k for which a score grows like e^(k |d|) on one of its sides; 0 if none does."""
        left, right = self.tails
        return max(0.0, left - 1, right - 2) if of_real else max(0.0, left - 2, right - 1)

    def clip(self, *, of_real: bool) -> float:
        """Returns the largest logit that a score is evaluated at: 30, or 20 for e^(2 |d|); inf if it does not grow."""
        growth = self.growth(of_real=of_real)
        return math.inf if growth == 0 else min(30.0, 40.0 / growth)

    @property
    def bound(self) -> float:
        """The largest value of the divergence, `f(0) + lim f(u) / u`."""
        return self.at_zero + self.slope_at_infinity

    def _finite_range(self, dtype):
        """The smallest and the largest logit at which both scores are finite."""
        largest = 0.9 * math.log(float(jnp.finfo(dtype).max))
        return -largest / max(1, self.tails.left - 1), largest / max(1, self.tails.right - 1)


def floating(values: Array) -> jax.Array:
    """Returns an array of floating dtype; whole numbers get the default one."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(float)


def slope(score: Score, logits: jax.Array) -> jax.Array:
    """Computes the derivative of an elementwise function."""
    return jax.jvp(score, (logits,), (jnp.ones_like(logits),))[1]


@jax.custom_jvp
def _with_slope(value, t, slope):
    """The value, as a function of t with a known derivative."""
    del t, slope
    return value


@_with_slope.defjvp
def _derivative(primals, tangents):
    value, _, slope = primals
    return value, slope * tangents[1]


def _conjugate(divergence, t):
    fixed = jax.lax.stop_gradient(t)
    ends = [jnp.full_like(fixed, end) for end in divergence._finite_range(t.dtype)]

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        is_below = divergence.real_score(middle) < fixed
        return jnp.where(is_below, middle, low), jnp.where(is_below, high, middle)

    low, high = jax.lax.fori_loop(0, jnp.finfo(t.dtype).nmant + 10, halve, tuple(ends))
    d = (low + high) / 2
    value = jnp.where(fixed > divergence.slope_at_infinity, jnp.inf, divergence.fake_score(d))
    return _with_slope(value, t, jnp.exp(d))
