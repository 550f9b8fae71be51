"""Values of divergences: between densities, Gaussians and categorical laws, and bounds from samples and a critic."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from buresgan_jax.distances.public import Array
from buresgan_jax.divergences import _quadrature
from buresgan_jax.divergences.constructions import reverse
from buresgan_jax.divergences.divergence import Divergence, at_least_float32, floating
from buresgan_jax.divergences.table import DIVERGENCES


def divergence_between_densities(
    divergence: Divergence,
    log_p: Callable[[jax.Array], jax.Array],
    log_q: Callable[[jax.Array], jax.Array],
    *,
    lower: float,
    upper: float,
    num_intervals: int = 200,
) -> jax.Array:
    """Computes D(p, q) of densities on an interval, by Gauss and Legendre's rule with 8 nodes in each part of it.

    Args:
        divergence: The divergence.
        log_p: Elementwise log density of the data.
        log_q: That of the model.
        lower: Where the integral begins.
        upper: Where it ends. The densities should be negligible beyond.
        num_intervals: Number of equal parts.

    Returns:
        Scalar in nats, of the default floating dtype. It is differentiable in what the densities are made of. In
        float64 and with parts that are smaller than the densities' widths it has ten digits and more.

    Raises:
        ValueError: The interval is empty.

    Note:
        Densities may be 0 (a log density of -inf) in parts of the interval. For the largest logits see
        `Divergence.of_logits`.
    """
    if not lower < upper:
        raise ValueError(f"lower must be below upper, got {lower} and {upper}.")
    points, weights = _quadrature.nodes(8)
    ends = np.linspace(lower, upper, num_intervals + 1)
    widths = np.diff(ends)[:, None]
    x = jnp.asarray((ends[:-1, None] + widths * points[None]).ravel(), float)
    weights = jnp.asarray((widths * weights[None]).ravel(), float)
    p, q = log_p(x), log_q(x)
    d = jnp.where((p == -jnp.inf) & (q == -jnp.inf), 0, p - q)
    # Of f(u) where u <= 1, and of f(u) / u, which is f of the reversed divergence at 1 / u, where u > 1.
    is_above = d > 0
    small = jnp.where(is_above, -d, d)
    below, above = divergence.of_logits(small), reverse(divergence).of_logits(small)
    return jnp.sum(weights * jnp.where(is_above, jnp.exp(p) * above, jnp.exp(q) * below))


def divergence_between_gaussians(
    divergence: Divergence, mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array
) -> jax.Array:
    """Computes D(p, q) of Gaussians in closed form, for divergences whose f'' is a sum of powers.

    These are `kl`, `reverse_kl`, `jeffreys`, `squared_hellinger`, `pearson`, `neyman` and `power`.

    Args:
        divergence: The divergence.
        mean_p: Mean of the data, `[dim]`.
        cov_p: Its covariance, positive definite, `[dim, dim]`.
        mean_q: Mean of the model, `[dim]`.
        cov_q: Its covariance, positive definite, `[dim, dim]`.

    Returns:
        Scalar in nats; inf where the integral diverges.

    Raises:
        ValueError: The divergence has no closed form here, or the shapes do not fit.
    """
    if not divergence.powers:
        raise ValueError(
            f"{divergence.name} has no closed form between Gaussians. In one dimension, use "
            "divergence_between_densities."
        )
    arguments = tuple(map(floating, (mean_p, cov_p, mean_q, cov_q)))
    shapes = [each.shape for each in arguments]
    if len(shapes[0]) != 1 or shapes != 2 * [shapes[0], 2 * shapes[0]]:
        raise ValueError(f"Means must be [dim] and covariances [dim, dim], all of one dim; got the shapes {shapes}.")
    return sum(weight * _power_divergence(c, *arguments) for weight, c in divergence.powers)


def _power_divergence(c, mean_p, cov_p, mean_q, cov_q):
    if c == 2:
        return _power_divergence(1, mean_q, cov_q, mean_p, cov_p)
    difference, log_det_p, log_det_q = mean_p - mean_q, _log_det(cov_p), _log_det(cov_q)
    if c == 1:
        trace = jnp.trace(jnp.linalg.solve(cov_q, cov_p))
        square = difference @ jnp.linalg.solve(cov_q, difference)
        return (trace + square - len(difference) + log_det_q - log_det_p) / 2
    alpha = 2 - c
    mixed = alpha * cov_q + (1 - alpha) * cov_p
    is_finite = jnp.linalg.eigvalsh(mixed)[0] > 0
    mixed = jnp.where(is_finite, mixed, cov_p)
    square = difference @ jnp.linalg.solve(mixed, difference)
    log_integral = alpha * (alpha - 1) / 2 * square
    log_integral += ((1 - alpha) * log_det_p + alpha * log_det_q - _log_det(mixed)) / 2
    return jnp.where(is_finite, jnp.expm1(log_integral) / (alpha * (alpha - 1)), jnp.inf)


def _log_det(matrix):
    return jnp.linalg.slogdet(matrix)[1]


def divergence_between_categoricals(divergence: Divergence, p: Array, q: Array) -> jax.Array:
    """Computes D(p, q) of categorical laws, with the divergence's limits where a probability is 0.

    Args:
        divergence: The divergence.
        p: Probabilities of the data, `[..., classes]`.
        q: Those of the model, same shape.

    Returns:
        Shape `[...]`, in nats.

    Raises:
        ValueError: The shapes differ.
    """
    p, q = floating(p), floating(q)
    if p.shape != q.shape:
        raise ValueError(f"p and q must have equal shapes, got {p.shape} and {q.shape}.")
    has_both = (p > 0) & (q > 0)
    d = jnp.log(jnp.where(has_both, p, 1)) - jnp.log(jnp.where(has_both, q, 1))
    one_sided = _times(p, (p > 0) & (q == 0), divergence.slope_at_infinity)
    one_sided += _times(q, (q > 0) & (p == 0), divergence.at_zero)
    return jnp.sum(jnp.where(has_both, q * divergence.of_logits(d), 0) + one_sided, axis=-1)


def _times(probabilities, chosen, price):
    """The chosen probabilities times their price, which may be infinite, without infinite gradients elsewhere."""
    if math.isinf(price):
        return jnp.where(chosen, price, jnp.zeros_like(probabilities))
    return jnp.where(chosen, probabilities, 0) * price


def divergence_of_dropped_share(divergence: Divergence, share: float) -> float:
    """Computes D(p, q) where the model lacks a share of the data, from 0 to below 1, and is perfect on the rest."""
    _check_share(share)
    return float(divergence.f(1 - share)) + share * divergence.slope_at_infinity if share else 0.0


def divergence_of_junk_share(divergence: Divergence, share: float) -> float:
    """Computes D(p, q) where a share of the samples, from 0 to below 1, lies off the data and the rest is perfect."""
    _check_share(share)
    return (1 - share) * float(divergence.f(1 / (1 - share))) + share * divergence.at_zero if share else 0.0


def _check_share(share):
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, got {share}.")


def variational_bound(divergence: Divergence, real_logits: Array, fake_logits: Array) -> tuple[jax.Array, jax.Array]:
    """Computes the lower bound `mean a(d) of real - mean b(d) of fakes` of D(p, q), from any critic.

    It is D(p, q) in expectation if the logits are log(p / q), and smaller for every other critic. A logistic
    discriminator that has converged gives such logits.

    Args:
        divergence: The divergence.
        real_logits: Logits of samples of the data, any shape.
        fake_logits: Logits of samples of the model, any shape.

    Returns:
        The bound, a scalar in nats, float32 for float16 and bfloat16, and the share of all logits that were clipped to
        `Divergence.logit_range`, where a score nearly overflows.
    """
    real, fake = at_least_float32(real_logits), at_least_float32(fake_logits)
    low, high = divergence.logit_range
    real_score, fake_score = (
        divergence.real_score(jnp.clip(real, low, high)),
        divergence.fake_score(jnp.clip(fake, low, high)),
    )
    is_clipped = jnp.concatenate([((each < low) | (each > high)).ravel() for each in (real, fake)])
    return jnp.mean(real_score) - jnp.mean(fake_score), jnp.mean(is_clipped)


def variational_bounds(real_logits: Array, fake_logits: Array) -> dict[str, jax.Array]:
    """Computes the bounds of all divergences of the table by name, see `variational_bound`."""
    return {name: variational_bound(each, real_logits, fake_logits)[0] for name, each in DIVERGENCES.items()}


def ordering_constant(first: Divergence, second: Divergence) -> float:
    """Finds the least C with `first <= C second` for all p and q; inf if there is none.

    It is the supremum of the ratio of their f. If it is finite, the first converges to 0 where the second does.

    Args:
        first: A divergence.
        second: Another.

    Returns:
        C, to four digits and more.
    """
    for tail in ("left", "right"):
        one, other = getattr(first.tails, tail), getattr(second.tails, tail)
        if one >= 2 and one > other:
            return math.inf
    with jax.enable_x64(True):
        d = jnp.linspace(-30.0, 30.0, 60_001)
        ratios = first.of_logits(d) / jnp.where(d == 0, 1, second.of_logits(d))
        largest = float(jnp.max(jnp.where(d == 0, 1, ratios)))
        ends = [
            (first.at_zero, second.at_zero, first.weight(d[0]) / second.weight(d[0])),
            (first.slope_at_infinity, second.slope_at_infinity, first.weight(d[-1]) / second.weight(d[-1])),
        ]
        for one, other, curvatures in ends:
            largest = max(largest, float(curvatures) if one == math.inf == other else one / other)
    return largest
