"""Values against reference figures, closed forms, finite differences and random laws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import divergences
from buresgan_jax.divergences import DIVERGENCES

pytestmark = pytest.mark.usefixtures("x64")
NAMES = pytest.mark.parametrize("name", DIVERGENCES)
INF = math.inf

# p = N(0, 1), q = N(0.5, 1.2^2): D, its derivatives by the mean and the standard deviation of q, and the bounds of the
# logits d + 0.3 and 0.8 d. Derived by quadrature of the formulas for the method card.
REFERENCE = {
    "kl": (0.11634933, 0.347222, 0.109954, 0.066491, 0.112614),
    "reverse_kl": (0.16267844, 0.500000, 0.366667, 0.121860, 0.153944),
    "jeffreys": (0.13951389, 0.423611, 0.238310, 0.094175, 0.133279),
    "squared_hellinger": (0.13324770, 0.396184, 0.193112, 0.089665, 0.128146),
    "pearson": (0.09979867, 0.319042, 0.030320, 0.026383, 0.096595),
    "neyman": (0.37011411, 1.553775, 2.804195, 0.311664, 0.302503),
    "jensen_shannon": (0.12838757, 0.376187, 0.163962, 0.086339, 0.124002),
    "softened_reverse_kl": (0.19696932, 0.623813, 0.569371, 0.157381, 0.183885),
    "softened_kl": (0.14560063, 0.425220, 0.240656, 0.108253, 0.140001),
    "reversed_softened_reverse_kl": (0.10431110, 0.318257, 0.055945, 0.046642, 0.101227),
    "reversed_softened_kl": (0.11117450, 0.327154, 0.087268, 0.064425, 0.108003),
}
X, STEP = np.linspace(-14, 14, 28_001, retstep=True)


def log_normal(mean, std):
    return lambda x: -0.5 * ((x - mean) / std) ** 2 - jnp.log(std) - 0.5 * math.log(2 * math.pi)


def value(name, mean=0.5, std=1.2):
    return divergences.divergence_between_densities(
        DIVERGENCES[name], log_normal(0.0, 1.0), log_normal(mean, std), lower=-30, upper=30
    )


def expectations():
    """Densities of p and q on a fine grid, times its step, and the optimal logit."""
    log_p, log_q = (np.asarray(log_normal(*law)(X)) for law in ((0.0, 1.0), (0.5, 1.2)))
    return np.exp(log_p) * STEP, np.exp(log_q) * STEP, log_p - log_q


def bound(divergence, logits):
    p, q, _ = expectations()
    return np.sum(p * divergence.real_score(logits)) - np.sum(q * divergence.fake_score(logits))


@NAMES
def test_values_and_gradients_are_those_of_the_reference(name):
    expected = REFERENCE[name]
    np.testing.assert_allclose(value(name), expected[0], atol=6e-9)
    gradient = jax.grad(lambda mean, std: value(name, mean, std), argnums=(0, 1))(0.5, 1.2)
    np.testing.assert_allclose(gradient, expected[1:3], atol=6e-7)


@NAMES
def test_the_bound_is_tight_at_the_optimal_critic_alone(name):
    divergence, (_, q, d) = DIVERGENCES[name], expectations()
    expected = REFERENCE[name]
    np.testing.assert_allclose(bound(divergence, d), expected[0], atol=6e-9)
    np.testing.assert_allclose([bound(divergence, d + 0.3), bound(divergence, 0.8 * d)], expected[3:], atol=6e-7)
    assert max(expected[3:]) < expected[0]
    assert bound(divergence, 0 * d) == 0
    gap = (value(name) - bound(divergence, d + 1e-3 * np.sin(X))) / 1e-6
    np.testing.assert_allclose(gap, np.sum(q * divergence.weight(d) * np.sin(X) ** 2) / 2, rtol=1e-3)
    if name == "softened_reverse_kl":
        np.testing.assert_allclose(gap, 0.27154, rtol=1e-3)


@NAMES
def test_the_generators_loss_has_the_gradient_of_the_divergence(name):
    """Pathwise, through samples `mean + std z`, for an optimal critic that is held fixed."""
    z, step = np.linspace(-9, 9, 18_001, retstep=True)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * step

    def loss(mean, std):
        x = mean + std * z
        d = log_normal(0.0, 1.0)(x) - log_normal(0.5, 1.2)(x)
        return -jnp.sum(density * DIVERGENCES[name].fake_score(d))

    np.testing.assert_allclose(jax.grad(loss, argnums=(0, 1))(0.5, 1.2), REFERENCE[name][1:3], atol=2e-6)


def test_what_the_non_saturating_and_the_saturating_loss_minimize():
    p, q, d = expectations()
    non_saturating = np.sum(q * np.logaddexp(0, -d))
    np.testing.assert_allclose(non_saturating, 0.828032, atol=6e-7)
    score = np.sum(q * DIVERGENCES["softened_reverse_kl"].fake_score(d))
    np.testing.assert_allclose(non_saturating, math.log(2) - score / 2, rtol=1e-9)
    logistic = -np.sum(p * np.logaddexp(0, -d)) - np.sum(q * np.logaddexp(0, d))
    np.testing.assert_allclose(logistic, -1.322101, atol=6e-7)
    np.testing.assert_allclose(logistic, value("jensen_shannon") / 2 - math.log(4), rtol=1e-9)
    mixture = (p + q) / 2
    kl = np.sum(mixture * (np.log(mixture) - np.log(p)))
    np.testing.assert_allclose(4 * kl, value("softened_reverse_kl"), rtol=1e-8)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "jeffreys", "squared_hellinger", "pearson", "neyman"])
def test_gaussians_in_closed_form_equal_quadrature(name):
    found = divergences.divergence_between_gaussians(DIVERGENCES[name], [0.0], [[1.0]], [0.5], [[1.44]])
    np.testing.assert_allclose(found, value(name), rtol=1e-9)


def test_gaussians_of_several_dimensions():
    draw = np.random.default_rng(0)
    mean_p, mean_q, a, b = draw.normal(size=3), draw.normal(size=3), draw.normal(size=(3, 3)), draw.normal(size=(3, 3))
    cov_p, cov_q = a @ a.T + np.eye(3), b @ b.T + np.eye(3)
    arguments = mean_p, cov_p, mean_q, cov_q
    hellinger = divergences.divergence_between_gaussians(DIVERGENCES["squared_hellinger"], *arguments)
    middle, difference = (cov_p + cov_q) / 2, mean_p - mean_q
    dets = [np.linalg.det(each) for each in (cov_p, cov_q, middle)]
    coefficient = (dets[0] * dets[1]) ** 0.25 / dets[2] ** 0.5
    coefficient *= math.exp(-difference @ np.linalg.solve(middle, difference) / 8)
    np.testing.assert_allclose(hellinger, 4 * (1 - coefficient), rtol=1e-10)
    kl = divergences.divergence_between_gaussians(DIVERGENCES["kl"], *arguments)
    reverse = divergences.divergence_between_gaussians(DIVERGENCES["reverse_kl"], mean_q, cov_q, mean_p, cov_p)
    np.testing.assert_allclose(kl, reverse, rtol=1e-12)
    wide = divergences.divergence_between_gaussians(DIVERGENCES["pearson"], [0.0], [[4.0]], [0.0], [[1.0]])
    assert wide == INF  # the integral of p^2 / q diverges
    with pytest.raises(ValueError, match="jensen_shannon has no closed form"):
        divergences.divergence_between_gaussians(DIVERGENCES["jensen_shannon"], *arguments)


@NAMES
def test_categorical_laws(name):
    draw = np.random.default_rng(1)
    p, q = draw.dirichlet(np.ones(6), size=2)
    divergence = DIVERGENCES[name]
    found = divergences.divergence_between_categoricals(divergence, p, q)
    np.testing.assert_allclose(found, np.sum(q * divergence.f(p / q)), rtol=1e-10)
    reverse = divergences.divergence_between_categoricals(divergences.reverse(divergence), q, p)
    np.testing.assert_allclose(found, reverse, rtol=1e-10)
    apart = divergences.divergence_between_categoricals(divergence, [1.0, 0.0], [0.0, 1.0])
    np.testing.assert_allclose(apart, divergence.supremum)
    equal = divergences.divergence_between_categoricals(divergence, [[0.5, 0.5, 0.0]], [[0.5, 0.5, 0.0]])
    assert equal.shape == (1,)
    assert equal[0] == 0


@NAMES
def test_categorical_laws_have_gradients(name):
    p, q = jnp.array([0.5, 0.3, 0.2]), jnp.array([0.2, 0.7, 0.1])
    divergence = DIVERGENCES[name]
    found = jax.grad(lambda *laws: divergences.divergence_between_categoricals(divergence, *laws), (0, 1))(p, q)
    np.testing.assert_allclose(found[0], divergence.derivative(p / q), rtol=1e-9)
    np.testing.assert_allclose(found[1], -divergence.fake_score(jnp.log(p / q)), rtol=1e-9)


def test_densities_may_be_0_and_far_apart():
    def uniform(low, high):
        return lambda x: jnp.where((x > low) & (x < high), -math.log(high - low), -INF)

    def found(name, log_p, log_q, lower=-1, upper=3):
        return divergences.divergence_between_densities(DIVERGENCES[name], log_p, log_q, lower=lower, upper=upper)

    np.testing.assert_allclose(found("jensen_shannon", uniform(0, 1), uniform(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(found("kl", uniform(0, 1), uniform(0, 2)), math.log(2), rtol=1e-9)
    assert found("reverse_kl", uniform(0, 1), uniform(0, 2)) == INF
    far = found("reverse_kl", log_normal(0.0, 1.0), log_normal(40.0, 1.0), -20, 60)
    np.testing.assert_allclose(far, 800, rtol=1e-9)
    with pytest.raises(ValueError, match="lower must be below upper, got 1 and 0"):
        found("kl", uniform(0, 1), uniform(0, 1), 1, 0)


def test_wrong_shapes_and_shares_are_refused():
    with pytest.raises(ValueError, match=r"all of one dim; got the shapes \[\(\), \(\), \(\), \(\)\]"):
        divergences.divergence_between_gaussians(DIVERGENCES["kl"], 0.0, 1.0, 0.5, 1.0)
    for function in (divergences.divergence_of_dropped_share, divergences.divergence_of_junk_share):
        assert function(DIVERGENCES["jeffreys"], 0) == 0
        with pytest.raises(ValueError, match="at least 0 and below 1, got 1"):
            function(DIVERGENCES["kl"], 1)


def test_categorical_laws_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"equal shapes, got \(2,\) and \(1,\)"):
        divergences.divergence_between_categoricals(DIVERGENCES["kl"], [0.5, 0.5], [1.0])


@NAMES
def test_all_agree_for_close_laws(name):
    np.testing.assert_allclose(
        divergences.divergence_between_densities(
            DIVERGENCES[name], log_normal(0.0, 1.0), log_normal(0.01, 1.0), lower=-30, upper=30
        ),
        0.01**2 / 2,
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("name", "dropped", "junk"),
    [
        ("kl", (INF, INF), (0.10536, 0.69315)),
        ("reverse_kl", (0.10536, 0.69315), (INF, INF)),
        ("squared_hellinger", (0.20527, 1.17157), (0.20527, 1.17157)),
        ("jensen_shannon", (0.14390, 0.86305), (0.14390, 0.86305)),
        ("softened_reverse_kl", (0.06683, 0.52325), (INF, INF)),
        ("softened_kl", (0.08262, 0.57536), (0.20517, 1.15073)),
        ("reversed_softened_reverse_kl", (INF, INF), (0.06683, 0.52325)),
        ("pearson", (INF, INF), (0.05556, 0.5)),
        ("neyman", (0.05556, 0.5), (INF, INF)),
        ("jeffreys", (INF, INF), (INF, INF)),
    ],
)
def test_dropped_modes_and_junk(name, dropped, junk):
    divergence, shares = DIVERGENCES[name], (0.1, 0.5)
    found = [divergences.divergence_of_dropped_share(divergence, share) for share in shares]
    np.testing.assert_allclose(found, dropped, atol=6e-6)
    found = [divergences.divergence_of_junk_share(divergence, share) for share in shares]
    np.testing.assert_allclose(found, junk, atol=6e-6)


@pytest.mark.parametrize(
    ("first", "second", "constant"),
    [
        ("jensen_shannon", "squared_hellinger", 1),
        ("squared_hellinger", "jensen_shannon", 1 / math.log(2)),
        ("squared_hellinger", "jeffreys", 1),
        ("jensen_shannon", "kl", 2 * math.log(2)),
        ("jensen_shannon", "reverse_kl", 2 * math.log(2)),
        ("softened_reverse_kl", "reverse_kl", 2),
        ("reverse_kl", "softened_reverse_kl", 1 / (2 - 2 * math.log(2))),
        ("softened_reverse_kl", "neyman", 4 - 4 * math.log(2)),
        ("softened_kl", "softened_reverse_kl", 1.2589),
        ("jensen_shannon", "softened_reverse_kl", 2.2589),
        ("softened_kl", "reverse_kl", 1),
        ("softened_kl", "kl", 2),
        ("softened_kl", "jensen_shannon", 1 / math.log(2)),
        ("reverse_kl", "jeffreys", 2),
        ("softened_reverse_kl", "jeffreys", 4),
        ("squared_hellinger", "kl", 2),
        ("kl", "pearson", 2),
        ("reverse_kl", "neyman", 2),
        ("reverse_kl", "jensen_shannon", INF),
        ("kl", "reverse_kl", INF),
        ("neyman", "reverse_kl", INF),
        ("jeffreys", "kl", INF),
    ],
)
def test_ordering_constants(first, second, constant):
    one, other = DIVERGENCES[first], DIVERGENCES[second]
    np.testing.assert_allclose(divergences.ordering_constant(one, other), constant, rtol=5e-5)
    if constant < INF:  # never exceeded by random laws
        draw = np.random.default_rng(2)
        p, q = (draw.dirichlet([0.3] * 3, size=2_000) for _ in range(2))
        values = [divergences.divergence_between_categoricals(each, p, q) for each in (one, other)]
        assert np.max(values[0] / values[1]) <= constant * (1 + 1e-9)


def test_a_clipped_critic_is_still_a_critic():
    """With two limits, for real and fake scores, the clipped bound would be above the divergence."""
    p, q = np.array([1.0, 0.0]), np.array([1e-13, 1 - 1e-13])
    pearson = DIVERGENCES["pearson"]
    logits = np.clip([30.0, -30.0], *pearson.logit_range)
    found = np.sum(p * pearson.real_score(logits)) - np.sum(q * pearson.fake_score(logits))
    assert found < divergences.divergence_between_categoricals(pearson, p, q)
    value, clipped = divergences.variational_bound(pearson, [30.0, 0.0], [-30.0, 0.0])
    np.testing.assert_allclose(value, (np.expm1(20.0) - np.expm1(-60.0) / 2) / 2, rtol=1e-9)
    assert clipped == 0.25


def test_bounds_of_logits():
    draw = np.random.default_rng(3)
    real, fake = draw.normal(size=(2, 20_000))
    real, fake = 0.5 + real, -0.5 + fake  # the logits of N(1, 1) and N(0, 1) at their own samples
    bounds = divergences.variational_bounds(real, fake)
    assert set(bounds) == set(DIVERGENCES)
    np.testing.assert_allclose(bounds["kl"], 0.5, atol=0.02)
    np.testing.assert_allclose(bounds["reverse_kl"], 0.5, atol=0.02)
    found, clipped = divergences.variational_bound(DIVERGENCES["kl"], np.float32([0, 1]), np.float32([40, 1e4]))
    assert found.dtype == jnp.float32
    assert np.isfinite(found)
    assert clipped == 0.5


@NAMES
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_bounds_are_finite_for_all_logits(name, dtype):
    def found(scale):
        logits = jnp.asarray([-1e4, -80, 0, 80, 1e4], dtype) * scale
        return divergences.variational_bound(DIVERGENCES[name], logits, logits[::-1])[0]

    value, slope = jax.value_and_grad(found)(jnp.asarray(1, dtype))
    assert np.isfinite(value)
    assert np.isfinite(slope)
