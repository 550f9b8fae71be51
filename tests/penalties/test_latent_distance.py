"""The distance-preserving term of BourGAN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from buresgan_jax import config
from buresgan_jax.algorithms.protocol import Step, StepOutputs
from buresgan_jax.distances import embedding
from buresgan_jax.errors import UserError
from buresgan_jax.penalties import _latent_distance, latent_distance_term, log_distance_penalty

RANDOM = np.random.default_rng


def make_step(generate, z, other_z, latent=()):
    """A step of a generator without a discriminator."""
    outputs = StepOutputs(z, None, None, generate(z), *6 * (None,))
    state = type("State", (), {"latent": latent})
    return Step(outputs, outputs, state, generate, None, lambda key: other_z, None, lambda rows: rows)


def value_of(generate, z, other_z, latent=(), **options):
    return result_of(generate, z, other_z, latent, **options)[0]


def result_of(generate, z, other_z, latent=(), **options):
    return latent_distance_term(**options)(make_step(generate, z, other_z, latent), jax.random.key(0))


@pytest.mark.parametrize("pairs", ["two_batches", "all"])
def test_an_isometry_times_the_scale_has_no_penalty(pairs):
    z, other_z = RANDOM(0).normal(size=(2, 16, 4)).astype(np.float32)
    turn = np.float32(stats.ortho_group.rvs(6, random_state=0)[:4])
    generate = lambda z: 3 * z @ turn  # noqa: E731
    assert value_of(generate, z, other_z, pairs=pairs, scale=3.0) == pytest.approx(0, abs=1e-9)
    assert value_of(generate, z, other_z, {"distance_scale": 3.0}, pairs=pairs) == pytest.approx(0, abs=1e-9)
    assert value_of(generate, z, other_z, pairs=pairs) == pytest.approx(0, abs=1e-9)  # the best scale of the batch
    off = value_of(generate, z, other_z, pairs=pairs, scale=3 * np.e**0.5)
    assert off == pytest.approx(0.25, rel=1e-4)


def test_both_kinds_of_pairs_are_those_of_loops():
    z, other_z = RANDOM(0).normal(size=(2, 5, 3)).astype(np.float32)
    log_ratio = lambda a, b: np.log(np.linalg.norm(a**3 - b**3) / (2 * np.linalg.norm(a - b)))  # noqa: E731
    two = np.mean([log_ratio(a, b) ** 2 for a, b in zip(z, other_z, strict=True)])
    every = np.mean([log_ratio(z[i], z[j]) ** 2 for i in range(5) for j in range(i)])
    generate = lambda z: z**3  # noqa: E731
    assert value_of(generate, z, other_z, scale=2.0) == pytest.approx(two, rel=1e-5)
    assert value_of(generate, z, other_z, scale=2.0, pairs="all") == pytest.approx(every, rel=1e-5)
    l1 = [np.log(np.abs(a**3 - b**3).sum() / np.linalg.norm(a - b) / 2) for a, b in zip(z, other_z, strict=True)]
    assert value_of(generate, z, other_z, scale=2.0, metric="l1") == pytest.approx(np.mean(np.square(l1)), rel=1e-5)
    angle = lambda a, b: np.arccos(1 - distance.cosine(a**3, b**3))  # noqa: E731
    logs = [np.log(angle(a, b) / np.linalg.norm(a - b) / 2) for a, b in zip(z, other_z, strict=True)]
    assert value_of(generate, z, other_z, scale=2.0, metric="angle") == pytest.approx(
        np.mean(np.square(logs)), rel=1e-4
    )


def test_angles_of_equal_opposite_close_and_zero_samples():
    x = np.float32([[1, 2, 3], [1, 2, 3], [0, 0, 0], [0, 0, 0], [1, 0, 0]])
    y = np.float32([[2, 4, 6], [-1, -2, -3], [1, 2, 3], [0, 0, 0], [2, 2e-4, 0]])
    angles = np.sqrt(_latent_distance._squared_distances(jnp.asarray(x), jnp.asarray(y), "angle"))
    np.testing.assert_allclose(angles, [0, np.pi, np.pi / 2, 0, 1e-4], rtol=1e-5, atol=1e-6)
    z, other_z = RANDOM(0).normal(size=(2, 5, 3)).astype(np.float32)

    def value(x):
        step = make_step(lambda z: y, z, other_z)
        step = step._replace(outputs=step.outputs._replace(fake=x), local=step.outputs._replace(fake=x))
        return latent_distance_term(metric="angle", scale=1.0)(step, jax.random.key(0))[0]

    found, gradient = jax.value_and_grad(value)(x)
    assert np.isfinite(found)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [2.0, None])
def test_the_distance_between_the_laws_is_logged(scale):
    z, other_z = RANDOM(0).normal(size=(2, 40, 3)).astype(np.float32)
    value, metrics = result_of(lambda z: z**3, z, other_z, scale=scale)
    between_samples, between_z = (np.linalg.norm(a - b, axis=1) for a, b in ((z**3, other_z**3), (z, other_z)))
    fitted = np.exp(np.mean(np.log(between_samples / between_z))) if scale is None else scale
    expected = embedding.log_distance_error(between_samples, fitted * between_z)
    assert metrics == {"log_distance_error": pytest.approx(expected, rel=1e-4)}
    assert metrics["log_distance_error"] <= np.sqrt(value)
    same = result_of(lambda z: 0 * z, z, z)[1]["log_distance_error"]
    assert same == 0


@pytest.mark.usefixtures("x64")
def test_the_gradient_is_twice_the_log_ratio_over_the_distance():
    random = RANDOM(0)
    x, y, wanted = random.normal(size=(6, 3)), random.normal(size=(6, 3)), random.exponential(size=6)

    def value(x):
        return log_distance_penalty(jnp.sum((x - y) ** 2, axis=1), jnp.asarray(wanted) ** 2, scale=1.5)

    lengths = np.linalg.norm(x - y, axis=1)
    ratios = np.log(lengths / (1.5 * wanted))
    expected = 2 * ratios[:, None] * (x - y) / lengths[:, None] ** 2 / 6
    np.testing.assert_allclose(jax.grad(value)(x), expected, rtol=1e-8)
    for index in np.ndindex(3, 3):
        step = np.zeros_like(x)
        step[index] = 1e-6
        np.testing.assert_allclose((value(x + step) - value(x - step)) / 2e-6, expected[index], rtol=1e-5, atol=1e-9)
    paired = stats.wasserstein_distance(np.log(lengths), np.log(1.5 * wanted))
    assert paired <= np.mean(np.abs(ratios)) + 1e-12
    assert np.mean(np.abs(ratios)) <= np.sqrt(value(x))


def test_a_growing_generator_shifts_the_log_ratios():
    distances, wanted = RANDOM(0).exponential(size=(2, 9)).astype(np.float32)
    ratios = np.log(distances / wanted) / 2
    for shift in (-1.0, 2.0):
        found = log_distance_penalty(distances * np.float32(np.exp(2 * shift)), wanted, scale=1.0)
        assert found == pytest.approx(np.mean((ratios + shift) ** 2), rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, None])
def test_collapsed_samples_and_equal_z_have_finite_values_and_gradients(scale):
    def value(x, z):
        return log_distance_penalty(jnp.sum(x**2, axis=1), z, scale=scale)

    x = np.array([[0, 0], [1e-9, 0], [1, 2], [3, 1]], np.float32)
    for z in (np.float32([1, 1, 1, 0]), np.zeros(4, np.float32)):
        found, gradient = jax.value_and_grad(value)(x, z)
        assert np.isfinite(found)
        assert np.isfinite(gradient).all()
    assert value(x, np.zeros(4, np.float32)) == 0
    assert value(x[:1], np.ones(1, np.float32)) == pytest.approx(0 if scale is None else np.log(1e6) ** 2, rel=1e-3)


def test_the_embeddings_scale_is_for_its_own_metric():
    made = config.finish(config.default("bourgan"))
    config.check(made)
    made.latent.metric = "l1"
    with pytest.raises(UserError, match="scale is that of distances by 'l1', the term compares 'euclidean'"):
        config.check(made)
    made.latent_distance.metric = "l1"
    config.check(made)
    made.latent_distance.metric, made.latent_distance.scale = "euclidean", 2.0
    config.check(made)
