"""The table of divergences against independent formulas of f, f', f'', its conjugates, tails and bounds."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import lambertw

from buresgan_jax.divergences import DIVERGENCES

pytestmark = pytest.mark.usefixtures("x64")
NAMES = pytest.mark.parametrize("name", DIVERGENCES)
LOG_2 = math.log(2)

# name: f(u), f'(u), f''(u)
FORMULAS = {
    "kl": (lambda u: u * np.log(u) - u + 1, np.log, lambda u: 1 / u),
    "reverse_kl": (lambda u: -np.log(u) + u - 1, lambda u: 1 - 1 / u, lambda u: u**-2),
    "jeffreys": (
        lambda u: (u - 1) * np.log(u) / 2,
        lambda u: (np.log(u) + 1 - 1 / u) / 2,
        lambda u: (1 + u) / (2 * u**2),
    ),
    "squared_hellinger": (lambda u: 2 * (np.sqrt(u) - 1) ** 2, lambda u: 2 - 2 / np.sqrt(u), lambda u: u**-1.5),
    "pearson": (lambda u: (u - 1) ** 2 / 2, lambda u: u - 1, lambda u: u**0),
    "neyman": (lambda u: (u - 1) ** 2 / (2 * u), lambda u: (1 - u**-2) / 2, lambda u: u**-3),
    "jensen_shannon": (
        lambda u: 2 * (u * np.log(u) - (1 + u) * np.log((1 + u) / 2)),
        lambda u: 2 * np.log(2 * u / (1 + u)),
        lambda u: 2 / (u * (1 + u)),
    ),
    "softened_reverse_kl": (
        lambda u: 2 * (1 + u) * np.log((1 + u) / (2 * u)) + 2 * (u - 1),
        lambda u: 2 * (np.log((1 + u) / (2 * u)) + 1 - 1 / u),
        lambda u: 2 / (u**2 * (1 + u)),
    ),
    "softened_kl": (
        lambda u: 4 * u * np.log(2 * u / (1 + u)) - 2 * (u - 1),
        lambda u: 4 * np.log(2 * u / (1 + u)) + 4 / (1 + u) - 2,
        lambda u: 4 / (u * (1 + u) ** 2),
    ),
    "reversed_softened_reverse_kl": (
        lambda u: 2 * (1 + u) * np.log((1 + u) / 2) - 2 * (u - 1),
        lambda u: 2 * np.log((1 + u) / 2),
        lambda u: 2 / (1 + u),
    ),
    "reversed_softened_kl": (
        lambda u: 4 * np.log(2 / (1 + u)) + 2 * (u - 1),
        lambda u: 2 - 4 / (1 + u),
        lambda u: 4 / (1 + u) ** 2,
    ),
}

# name: f*(t), and values of t inside and outside its domain
CONJUGATES = {
    "kl": (lambda t: np.exp(t) - 1, (-3, 0, 2)),
    "reverse_kl": (lambda t: -np.log(1 - t), (-3, 0, 0.9)),
    "jeffreys": (
        lambda t: t - 1 + (lambertw(np.exp(1 - 2 * t)).real + 1 / lambertw(np.exp(1 - 2 * t)).real) / 2,
        (-3, 0, 2),
    ),
    "squared_hellinger": (lambda t: 2 * t / (2 - t), (-3, 0, 1.5)),
    "pearson": (lambda t: np.where(t > -1, t + t**2 / 2, -0.5), (-2, -1, 0, 2)),
    "neyman": (lambda t: 1 - np.sqrt(1 - 2 * t), (-3, 0, 0.4)),
    "jensen_shannon": (lambda t: -2 * np.log(2 - np.exp(t / 2)), (-3, 0, 1.2)),
    "softened_reverse_kl": (
        lambda t: 2 * np.log(2 / -lambertw(-2 * np.exp(t / 2 - 2), -1).real),
        (-3, 0, 0.6),
    ),
    "softened_kl": (lambda t: -4 * lambertw(-np.exp((t - 2) / 4) / 2).real - 2, (-3, 0, 0.7)),
    "reversed_softened_reverse_kl": (
        lambda t: np.where(t >= -2 * LOG_2, 4 * np.exp(t / 2) - 4 - t, 2 * LOG_2 - 2),
        (-3, -1, 0, 2),
    ),
    "reversed_softened_kl": (
        lambda t: np.where(t > -2, -4 * np.log(1 - np.maximum(t, -2) / 2) - t, 2 - 4 * LOG_2),
        (-3, -1, 0, 1.5),
    ),
}

# name: tail weights, limits of u^L f'' at 0 and u^(3 - R) f'' at infinity, f(0), lim f(u) / u
INF = math.inf
TAILS = {
    "kl": (1, 2, 1, 1, 1, INF),
    "reverse_kl": (2, 1, 1, 1, INF, 1),
    "jeffreys": (2, 2, 0.5, 0.5, INF, INF),
    "squared_hellinger": (1.5, 1.5, 1, 1, 2, 2),
    "pearson": (0, 3, 1, 1, 0.5, INF),
    "neyman": (3, 0, 1, 1, INF, 0.5),
    "jensen_shannon": (1, 1, 2, 2, 2 * LOG_2, 2 * LOG_2),
    "softened_reverse_kl": (2, 0, 2, 2, INF, 2 - 2 * LOG_2),
    "softened_kl": (1, 0, 4, 4, 2, 4 * LOG_2 - 2),
    "reversed_softened_reverse_kl": (0, 2, 2, 2, 2 - 2 * LOG_2, INF),
    "reversed_softened_kl": (0, 1, 4, 4, 4 * LOG_2 - 2, 2),
}


@NAMES
def test_f_and_its_derivatives_are_those_of_the_formulas(name):
    divergence, u = DIVERGENCES[name], np.exp(np.linspace(-4, 4, 33))
    f, derivative, second = FORMULAS[name]
    np.testing.assert_allclose(divergence.f(u), f(u), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(divergence.derivative(u), derivative(u), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(divergence.second_derivative(u), second(u), rtol=1e-12)


@NAMES
def test_the_form_is_canonical(name):
    f = DIVERGENCES[name].f
    np.testing.assert_allclose([f(1.0), jax.grad(f)(1.0), jax.grad(jax.grad(f))(1.0)], [0, 0, 1], atol=1e-12)


@NAMES
def test_scores_and_weight_belong_together(name):
    divergence, d = DIVERGENCES[name], jnp.linspace(-4, 4, 17)
    u, (f, derivative, second) = np.exp(d), FORMULAS[name]
    real, fake = divergence.real_score(d), divergence.fake_score(d)
    np.testing.assert_allclose(real, derivative(u), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(fake, u * derivative(u) - f(u), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(divergence.weight(d), u**2 * second(u), rtol=1e-12)
    np.testing.assert_allclose(divergence.weight(d), jax.vmap(jax.grad(divergence.real_score))(d) * u, rtol=1e-12)
    np.testing.assert_allclose(divergence.conjugate(real), fake, rtol=1e-9, atol=1e-11)


@NAMES
def test_conjugates_are_those_of_the_closed_forms(name):
    divergence, (formula, values) = DIVERGENCES[name], CONJUGATES[name]
    t = np.array(values, float)
    np.testing.assert_allclose(divergence.conjugate(t), formula(t), rtol=1e-9, atol=1e-11)
    inside = jnp.asarray(t[1:-1])
    slope = jax.vmap(jax.grad(divergence.conjugate))(inside)
    expected = (formula(t[1:-1] + 1e-6) - formula(t[1:-1] - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, expected, atol=1e-6 if name != "pearson" else 1e-5)
    if math.isfinite(divergence.slope_at_infinity):
        assert divergence.conjugate(divergence.slope_at_infinity + 0.1) == math.inf


@NAMES
def test_tail_weights_and_limits(name):
    divergence = DIVERGENCES[name]
    left, right, at_zero, at_infinity, value, slope = TAILS[name]
    assert divergence.tails == (left, right)
    assert (divergence.at_zero, divergence.slope_at_infinity) == pytest.approx((value, slope))
    np.testing.assert_allclose(1e-6**left * FORMULAS[name][2](1e-6), at_zero, rtol=1e-3)
    np.testing.assert_allclose(1e-6**left * divergence.second_derivative(1e-6), at_zero, rtol=1e-3)
    np.testing.assert_allclose(1e6 ** (3 - right) * divergence.second_derivative(1e6), at_infinity, rtol=1e-3)
    assert divergence.f(0.0) == pytest.approx(value)
    if right < 2:
        np.testing.assert_allclose(divergence.f(1e9) / 1e9, slope, rtol=1e-4)
    assert divergence.supremum == value + slope


@NAMES
def test_f_keeps_its_digits_close_to_1(name):
    d = np.array([-1e-3, -1e-6, -1e-9, 1e-9, 1e-6, 1e-3])
    np.testing.assert_allclose(DIVERGENCES[name].of_logits(d), d**2 / 2, rtol=2e-3)
    np.testing.assert_allclose(DIVERGENCES[name].of_logits(d[1:5]), d[1:5] ** 2 / 2, rtol=2e-6)
    small = np.float32([-1e-5, 1e-5])
    np.testing.assert_allclose(DIVERGENCES[name].of_logits(small), small**2 / 2, rtol=1e-4)


@NAMES
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_f_is_finite_and_differentiable_for_large_logits(name, dtype):
    d = jnp.asarray([-80, -40, 0, 40, 80], dtype)
    if max(DIVERGENCES[name].tails) == 3:  # f itself is e^80 there
        d = d / 2
    values, slopes = jax.vmap(jax.value_and_grad(DIVERGENCES[name].of_logits))(d)
    assert values.dtype == dtype
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    assert (values[jnp.array([0, 1, 3, 4])] > 0).all()


def test_the_functions_take_numbers_arrays_and_float32():
    kl = DIVERGENCES["kl"]
    assert kl.f(2) == pytest.approx(2 * LOG_2 - 1)
    assert kl.f(np.float32([[1, 2]])).dtype == jnp.float32
    assert kl.f(np.ones((2, 3))).shape == (2, 3)


def test_logits_are_limited_where_a_score_grows():
    ranges = {name: (each.logit_range, each.fake_logit_range) for name, each in DIVERGENCES.items()}
    everywhere = (-INF, INF)
    assert ranges == {
        "kl": ((-INF, 30), (-INF, 30)),
        "reverse_kl": ((-30, INF), everywhere),
        "jeffreys": ((-30, 30), (-INF, 30)),
        "squared_hellinger": ((-30, 30), (-INF, 30)),
        "pearson": ((-INF, 20), (-INF, 20)),
        "neyman": ((-20, INF), (-30, INF)),
        "jensen_shannon": (everywhere, everywhere),
        "softened_reverse_kl": ((-30, INF), everywhere),
        "softened_kl": (everywhere, everywhere),
        "reversed_softened_reverse_kl": ((-INF, 30), (-INF, 30)),
        "reversed_softened_kl": (everywhere, everywhere),
    }


@NAMES
def test_derivatives_of_higher_order_at_1_and_far_away(name):
    divergence, second = DIVERGENCES[name], FORMULAS[name][2]
    third = (second(1 + 1e-5) - second(1 - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(divergence.second_derivative)(1.0), third, atol=1e-8)
    np.testing.assert_allclose(jax.grad(jax.grad(jax.grad(divergence.f)))(1.0), third, atol=1e-8)
    d = jnp.array([-60.0, -20.0, 20.0, 60.0])
    np.testing.assert_allclose(
        jax.vmap(jax.grad(divergence.fake_score))(d), divergence.weight(d), rtol=1e-7, atol=1e-23
    )
    far = divergence.weight(jnp.float32([-1e4, 1e4]))
    left, right = divergence.tails
    assert far[0] == pytest.approx({0: TAILS[name][2]}.get(2 - left, 0 if left < 2 else INF))
    assert far[1] == pytest.approx({1: TAILS[name][3]}.get(right, 0 if right < 1 else INF))


def test_f_goes_on_where_it_does_not_overflow_and_takes_the_limits():
    reverse_kl, kl = DIVERGENCES["reverse_kl"], DIVERGENCES["kl"]
    np.testing.assert_allclose(reverse_kl.of_logits(jnp.float32([-100, -1e4])), [99, 9999], rtol=1e-6)
    np.testing.assert_array_equal(kl.of_logits(jnp.array([-INF, INF])), [1, INF])
    np.testing.assert_array_equal(reverse_kl.of_logits(jnp.array([-INF, INF])), [INF, INF])
    np.testing.assert_array_equal(kl.f(jnp.array([np.nan, -1.0, INF, 0.0])), [np.nan, np.nan, INF, 1])


def test_conjugates_at_their_ends():
    kl, jensen_shannon = DIVERGENCES["kl"], DIVERGENCES["jensen_shannon"]
    np.testing.assert_array_equal(kl.conjugate(jnp.array([np.nan, INF, -1e4])), [np.nan, INF, -1])
    assert jensen_shannon.conjugate(jensen_shannon.slope_at_infinity) == INF
    np.testing.assert_allclose(
        DIVERGENCES["softened_reverse_kl"].conjugate(jnp.float32(2 - 2 * LOG_2)), 2 * LOG_2, rtol=1e-6
    )
    np.testing.assert_allclose(jax.grad(jax.grad(kl.conjugate))(0.5), math.exp(0.5), rtol=1e-9)
