"""The type of an f-divergence.

p is the density of the data, q that of the model, u = p / q, and d = log u the logit of an optimal discriminator. A
divergence is `D(p, q) = E_q f(u)` with f convex, in canonical form: `f(1) = f'(1) = 0` and `f''(1) = 1`. All of them
then agree for close p and q. Two functions of the logit hold everything: `a = f'(u)` and `b = u f'(u) - f(u)`.
"""

import dataclasses
import functools
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
        real_score: The discriminator's function a of a logit on real examples. It maximizes `E_p a(d) - E_q b(d)`.
        fake_score: Its function b on fakes. The generator minimizes `-E_q b(d)`.
        weight: `b'(d) = u^2 f''(u)`, the factor on the gradient of the logit by which the generator moves a sample.
        tails: Its tail weights.
        at_zero: f(0), the price of a sample where the data have no density; inf: unbounded.
        slope_at_infinity: lim f(u) / u, the price of data where the model has no density; inf: unbounded. The conjugate
            is finite below it.
        powers: Pairs (weight, c) if f'' is the sum of `weight u^-c`, for closed forms; else empty.
        largest_logit: Size of the logits up to which the functions hold; 30 where they are integrals.

    References:
        Nowozin et al., "f-GAN", NeurIPS 2016. https://arxiv.org/abs/1606.00709. Shannon, "Properties of f-divergences
        and f-GAN training", 2020. https://arxiv.org/abs/2009.00757.
    """

    name: str
    meaning: str
    real_score: Score
    fake_score: Score
    weight: Score
    tails: TailWeights
    at_zero: float
    slope_at_infinity: float
    powers: tuple[tuple[float, float], ...] = ()
    largest_logit: float = math.inf

    @in_float32
    def of_logits(self, logits: Array) -> jax.Array:
        """Computes f(e^d), to full relative precision for small logits too; at the infinite ones, its limits.

        Logits above 80 count as 80 in float32, and those below -80 too if the left tail weight is above 2; where that
        tail weight or the right one is 3, the limit is 40. In float64 the limits are eight times as large.
        """
        d = floating(logits)
        low, high = self._finite_range(d.dtype)
        inside = jnp.clip(d, low, high)
        is_small = jnp.abs(d) < _SMALL
        far, near = jnp.where(is_small, _SMALL, inside), jnp.where(is_small, d, 0)
        points, weights = _quadrature.nodes(16)
        x = jnp.multiply.outer(near, jnp.asarray(points, d.dtype))
        integral = near * _quadrature.average(jnp.expm1(near[..., None] - x) * self.weight(x), weights)
        # u a(d) has a limit on the left, where b grows on, unless both grow like a power of 1 / u.
        goes_on = self.tails.left <= 2 and math.isinf(self.largest_logit)
        rest = jnp.where(is_small, _SMALL, jnp.minimum(d, high)) if goes_on else far
        value = jnp.where(is_small, integral, jnp.exp(far) * self.real_score(far) - self.fake_score(rest))
        return jnp.where(d == -jnp.inf, self.at_zero, jnp.where(d == jnp.inf, jnp.inf, value))

    @in_float32
    def f(self, u: Array) -> jax.Array:
        """Computes f of density ratios, at least 0; `at_zero` where the ratio is 0, NaN where it is negative."""
        u = floating(u)
        return jnp.where(u == 0, self.at_zero, self.of_logits(jnp.log(jnp.where(u == 0, 1, u))))

    @in_float32
    def derivative(self, u: Array) -> jax.Array:
        """Computes f'(u) of positive density ratios."""
        return self.real_score(jnp.log(floating(u)))

    @in_float32
    def second_derivative(self, u: Array) -> jax.Array:
        """Computes f''(u) of positive density ratios."""
        u = floating(u)
        return self.weight(jnp.log(u)) / u / u

    @in_float32
    def conjugate(self, t: Array) -> jax.Array:
        """Computes the convex conjugate `f*(t) = sup_u (u t - f(u))`; inf above `slope_at_infinity`.

        It solves `a(d) = t` for d by bisection and is then `b(d)`. The derivative is u.
        """
        t = floating(t)
        d = _logit_of(self, t)
        low, high = self._finite_range(t.dtype)
        value = jnp.where(t < self.real_score(jnp.full_like(t, low)), -self.at_zero, self.fake_score(d))
        if math.isinf(self.largest_logit):
            end = jnp.full_like(t, jnp.inf)
            value = jnp.where(t >= self.real_score(jnp.full_like(t, high)), self.fake_score(end), value)
        return jnp.where(jnp.isnan(t), t, jnp.where(t > self.slope_at_infinity, jnp.inf, value))

    @property
    def supremum(self) -> float:
        """The largest value of the divergence, `f(0) + lim f(u) / u`, of laws that do not overlap."""
        return self.at_zero + self.slope_at_infinity

    @property
    def logit_range(self) -> tuple[float, float]:
        """The logits between which a critic's scores are taken: +-30 on a side where one of them grows like e^|d|.

        It is 20 for e^(2 |d|), and inf on sides where neither grows.
        """
        return -self._limit(self.tails.left - 1), self._limit(self.tails.right - 1)

    @property
    def fake_logit_range(self) -> tuple[float, float]:
        """The same for the score of fakes alone, which is all that a generator sees."""
        return -self._limit(self.tails.left - 2), self._limit(self.tails.right - 1)

    def _limit(self, growth):
        return min(self.largest_logit, math.inf if growth <= 0 else min(30.0, 40.0 / growth))

    def _finite_range(self, dtype):
        """The smallest and the largest logit at which both scores are finite."""
        largest = 0.9 * math.log(float(jnp.finfo(dtype).max))
        ends = (largest / max(1, tail - 1) for tail in self.tails)
        low, high = (min(self.largest_logit, end) for end in ends)
        return -low, high


def floating(values: Array) -> jax.Array:
    """Returns an array of floating dtype; whole numbers get the default one."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(float)


def at_least_float32(values: Array) -> jax.Array:
    """Returns a floating array, float16 and bfloat16 as float32."""
    values = floating(values)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _logit_of(divergence, t):
    """The d at which `a(d) = t`, or the nearest that is finite."""
    ends = tuple(jnp.full_like(t, end) for end in divergence._finite_range(t.dtype))

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        is_below = divergence.real_score(middle) < t
        return jnp.where(is_below, middle, low), jnp.where(is_below, high, middle)

    low, high = jax.lax.fori_loop(0, jnp.finfo(t.dtype).nmant + 10, halve, ends)
    return (low + high) / 2


@_logit_of.defjvp
def _(divergence, primals, tangents):
    d = _logit_of(divergence, *primals)
    weight = divergence.weight(d)
    return d, tangents[0] * jnp.exp(d) / jnp.where(weight > 0, weight, jnp.inf)
