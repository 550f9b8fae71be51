"""Divergences made of others against the table, and of f'' against both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import divergences, losses
from buresgan_jax.divergences import DIVERGENCES, TailWeights

pytestmark = pytest.mark.usefixtures("x64")
LOGITS = np.linspace(-12, 12, 25)
PAIRS = {
    "kl": "reverse_kl",
    "pearson": "neyman",
    "softened_reverse_kl": "reversed_softened_reverse_kl",
    "softened_kl": "reversed_softened_kl",
    "jeffreys": "jeffreys",
    "squared_hellinger": "squared_hellinger",
    "jensen_shannon": "jensen_shannon",
}


def assert_equal(found, expected, rtol=1e-9, logits=LOGITS):
    if isinstance(expected, str):
        expected = DIVERGENCES[expected]
    logits = jnp.asarray(logits)
    np.testing.assert_allclose(found.real_score(logits), expected.real_score(logits), rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(found.fake_score(logits), expected.fake_score(logits), rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(found.weight(logits), expected.weight(logits), rtol=rtol)
    np.testing.assert_allclose(found.of_logits(logits), expected.of_logits(logits), rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(found.tails, expected.tails, atol=1e-6)
    assert not found.powers or sorted(found.powers) == sorted(expected.powers)
    limits = found.at_zero, found.slope_at_infinity
    np.testing.assert_allclose(limits, (expected.at_zero, expected.slope_at_infinity), rtol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_reversal_exchanges_the_pairs(name):
    assert_equal(divergences.reverse(DIVERGENCES[name]), PAIRS[name])
    assert sorted(divergences.reverse(DIVERGENCES[name]).powers) == sorted(DIVERGENCES[PAIRS[name]].powers)
    assert_equal(divergences.reverse(DIVERGENCES[PAIRS[name]]), name)


def test_softening():
    assert_equal(divergences.soften(DIVERGENCES["reverse_kl"]), "softened_reverse_kl")
    assert_equal(divergences.soften(DIVERGENCES["kl"]), "softened_kl")
    assert_equal(divergences.soften(DIVERGENCES["neyman"]), "neyman")  # a fixed point
    u = np.exp(LOGITS)
    pearson = divergences.soften(DIVERGENCES["pearson"])
    np.testing.assert_allclose(pearson.second_derivative(u), 8 / (1 + u) ** 3, rtol=1e-9)
    twice = divergences.soften(DIVERGENCES["jensen_shannon"])
    np.testing.assert_allclose(twice.second_derivative(u), 8 / (u * (1 + u) * (3 * u + 1)), rtol=1e-9)


def test_averages():
    kl, reverse_kl = DIVERGENCES["kl"], DIVERGENCES["reverse_kl"]
    assert_equal(divergences.average(kl, reverse_kl), "jeffreys")
    assert divergences.average(kl, reverse_kl).powers == DIVERGENCES["jeffreys"].powers
    softened = divergences.average(DIVERGENCES["softened_kl"], DIVERGENCES["reversed_softened_kl"])
    assert_equal(softened, "jensen_shannon")
    np.testing.assert_allclose(divergences.average(kl, reverse_kl, 0.25).weight(1.0), 0.75 * np.e + 0.25)
    with pytest.raises(ValueError, match="above 0 and below 1, got 1"):
        divergences.average(kl, reverse_kl, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jensen_shannon", "softened_reverse_kl"),
        ("kl", "reverse_kl"),
        ("reverse_kl", "neyman"),
        ("pearson", "kl"),
        ("reversed_softened_reverse_kl", "jensen_shannon"),
    ],
)
def test_the_non_saturating_trick(name, expected):
    f, g = DIVERGENCES[name], divergences.non_saturating(DIVERGENCES[name])
    assert_equal(g, expected, rtol=1e-8)
    np.testing.assert_allclose(np.exp(LOGITS) * f.second_derivative(np.exp(LOGITS)), g.weight(LOGITS), rtol=1e-9)


@pytest.mark.parametrize(
    ("exponent", "name"),
    [(0, "pearson"), (1, "kl"), (1.5, "squared_hellinger"), (2, "reverse_kl"), (3, "neyman")],
)
def test_the_power_family(exponent, name):
    assert_equal(divergences.power(exponent), name)
    assert divergences.power(exponent).powers == DIVERGENCES[name].powers


@pytest.mark.parametrize(
    ("name", "second_derivative"),
    [
        ("reverse_kl", lambda u: 7 / u**2),
        ("pearson", jnp.ones_like),
        ("neyman", lambda u: 0.1 * u**-3),
        ("jeffreys", lambda u: (1 + u) / u**2),
        ("jensen_shannon", lambda u: 1 / (u * (1 + u))),
        ("softened_kl", lambda u: 1 / (u * (1 + u) ** 2)),
        ("softened_reverse_kl", lambda u: 1 / (u**2 * (1 + u))),
        ("reversed_softened_kl", lambda u: 1 / (1 + u) ** 2),
    ],
)
def test_f_second_alone_makes_the_divergence_in_canonical_form(name, second_derivative):
    assert_equal(divergences.from_second_derivative(second_derivative), name, rtol=1e-7)


def test_an_own_divergence_has_derivatives_of_every_order_and_runs_compiled():
    own, expected = divergences.from_second_derivative(lambda u: u**-1.2), divergences.power(1.2)
    assert_equal(own, expected, rtol=1e-7)
    for order in range(3):
        found, exact = own.fake_score, expected.fake_score
        for _ in range(order):
            found, exact = jax.grad(found), jax.grad(exact)
        np.testing.assert_allclose(jax.jit(found)(0.7), exact(0.7), rtol=1e-9)
    scores = jax.jit(jax.vmap(own.real_score))(jnp.ones((2, 3), jnp.float32))
    assert scores.dtype == jnp.float32
    assert scores.shape == (2, 3)


def test_own_divergences_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"must be positive and finite at 4.54e-05, got -4.54e-05"):
        divergences.from_second_derivative(lambda u: -u)
    with pytest.raises(ValueError, match="otherwise f is not convex"):
        divergences.from_second_derivative(lambda u: (u - 2) ** 2 - 0.5)
    with pytest.raises(ValueError, match="follow no power of u"):
        divergences.from_second_derivative(lambda u: jnp.exp(-u / 1e6))
    with pytest.raises(ValueError, match="follow no power of u"):
        divergences.tail_weights(lambda u: (2 + jnp.log(u) ** 2) / u)


def test_tails_that_are_reached_slowly_are_rounded_to_them():
    slow = divergences.from_second_derivative(lambda u: u**-2 * (1 + jnp.sqrt(u)))
    assert slow.tails == TailWeights(2, 1.5)
    assert slow.at_zero == np.inf
    steep = divergences.from_second_derivative(lambda u: u**-2 / (1 + jnp.sqrt(u)))
    assert divergences.ordering_constant(steep, DIVERGENCES["reverse_kl"]) < 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: divergences.from_second_derivative(lambda u: 1 / (u * (1 + u))),
        lambda: divergences.non_saturating(DIVERGENCES["reversed_softened_kl"]),
    ],
)
def test_those_of_integrals_know_how_far_they_hold(make):
    own = make()
    assert own.logit_range == own.fake_logit_range == (-30, 30)
    assert divergences.reverse(own).largest_logit == divergences.soften(own).largest_logit == 30
    loss = losses.f_gan_losses(own, own)
    extreme = jnp.array([[-1e4], [80.0], [1e4]])
    for function in loss[:2]:
        value, slope = jax.value_and_grad(lambda x, function=function: function(x, x[::-1])[0])(extreme)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", [*DIVERGENCES, "own"])
def test_own_and_others_give_finite_values_in_float32(name):
    with jax.enable_x64(False):
        own = divergences.from_second_derivative(lambda u: u**-2)
        found = divergences.divergence_between_densities(
            DIVERGENCES.get(name, own),
            lambda x: -(x**2) / 2 - 0.919,
            lambda x: -((x - 1) ** 2) / 2 - 0.919,
            lower=-30,
            upper=30,
        )
        exact = {"kl": 0.5, "reverse_kl": 0.5, "own": 0.5, "jeffreys": 0.5}.get(name)
        assert np.isfinite(found)
        assert exact is None or found == pytest.approx(exact, rel=1e-3)


def test_tails_follow_the_rules_of_the_constructions():
    kl = DIVERGENCES["kl"]
    assert divergences.reverse(kl).tails == TailWeights(2, 1)
    assert divergences.soften(kl).tails == TailWeights(1, 0)
    assert divergences.non_saturating(kl).tails == TailWeights(2, 1)
    assert divergences.power(0.5).tails == TailWeights(0.5, 2.5)
    assert divergences.tail_weights(lambda u: 1 / (u * jnp.sqrt(1 + u))) == TailWeights(1, 1.5)


def test_a_tail_that_a_slow_factor_hides_is_unbounded():
    own = divergences.from_second_derivative(lambda u: (1 + u**0.4) / u**2)
    assert own.tails == TailWeights(2, 1.4)
    assert own.at_zero == np.inf
