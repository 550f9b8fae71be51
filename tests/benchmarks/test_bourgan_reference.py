"""The benchmark of BourGAN in its authors' setting: its own parts, a few steps, and the tables."""

import pathlib
import sys

import jax
import numpy as np
import pytest

from buresgan_jax import builders, losses
from buresgan_jax.distances.embedding import MetricEmbedding

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import bourgan_reference as reference  # noqa: E402


def test_the_data_have_equally_many_points_of_each_mode():
    source = reference.fixed_grid(seed=0)
    numbers = np.arange(source.num_examples)
    np.testing.assert_array_equal(np.bincount(source.labels(numbers)), [50] * 25)
    offsets = source.fetch(numbers) - source.mixture.means[source.labels(numbers)]
    np.testing.assert_allclose(offsets.std(0), 0.1, rtol=0.1)


def test_a_batch_has_no_example_twice():
    batches = reference.random_batches(200, 3, seed=0)
    assert batches.shape == (3, 128)
    assert all(len(np.unique(batch)) == 128 for batch in batches)
    assert batches.max() < 200
    assert (batches[0] != batches[1]).any()


def test_initial_weights_and_biases_are_uniform_within_the_root_of_the_inputs():
    config = reference.make_config(reference.REFERENCE)
    assert config.latent.dim == 55
    for network, inputs in ((builders.generator(config, None), 55), (builders.discriminator(config, None), 2)):
        params = network.init(jax.random.key(0), np.zeros((1, inputs), np.float32), train=True)["params"]
        for layer, fan_in in zip(("Dense_0", "Dense_1", "Dense_2"), (inputs, 128, 128), strict=True):
            for values in params[layer].values():
                assert np.abs(values).max() <= fan_in**-0.5
            np.testing.assert_allclose(params[layer]["kernel"].std(), (3 * fan_in) ** -0.5, rtol=0.15)


def test_the_discriminators_losses_are_summed():
    real, fake = np.random.default_rng(0).normal(size=(2, 5, 1)).astype(np.float32)
    value, parts = reference.summed().discriminator(real, fake)
    np.testing.assert_allclose(value, 2 * losses.non_saturating().discriminator(real, fake), rtol=1e-6)
    np.testing.assert_allclose(value, parts["real"] + parts["fake"], rtol=1e-6)


def test_the_floor_is_the_squared_logarithm_of_a_wrong_scale():
    points = np.random.default_rng(0).normal(size=(20, 2))
    embedded = MetricEmbedding(points / 3, 3.0, 9.0, 1.0, 0.0)
    np.testing.assert_allclose(reference.floor(points, embedded, embedded.scale), 0, atol=1e-12)
    np.testing.assert_allclose(reference.floor(points, embedded, embedded.largest_root_ratio), np.log(3) ** 2)


@pytest.mark.parametrize("method", [reference.EXACT, reference.NORMAL], ids=["mixture", "normal"])
def test_a_row_is_trained(method):
    (result,) = reference.train(method, [0], num_steps=2, points_per_mode=2, num_samples=50)
    assert set(result.losses) == {*reference.LOSSES, "distance"}
    assert all(values.shape == (2,) and np.isfinite(values).all() for values in result.losses.values())
    np.testing.assert_allclose(result.losses["real"] + result.losses["fake"], 2 * np.log(2), atol=0.3)
    assert result.losses["generator"][0] > 0.1 * result.losses["distance"][0] + 0.5
    assert sum(result.last.counts) <= 50


def test_first_losses_depend_on_embedding_and_seed():
    embeddings = [reference.embed(seed, points_per_mode=2) for seed in (0, 1)]
    values = reference.start_losses([embeddings[0], embeddings[0], embeddings[1]], [0, 1, 0])
    assert np.isfinite(values).all()
    assert len(set(values.tolist())) == 3


def test_tables_have_a_row_for_each_method_and_loss():
    statistics = reference.metrics.mode_statistics(reference.MIXTURE.means, reference.MIXTURE.means, 0.1)
    values = {name: np.linspace(1, 0, reference.NUM_STEPS) for name in (*reference.LOSSES, "distance")}
    results = {method: [reference.Result(values, statistics, statistics)] for method in reference.METHODS}
    lines = reference.ablation_table(results, num_perfect=1)
    assert len(lines) == 2 + 2 * len(reference.METHODS) + 1
    assert lines[2].startswith("| mixture | 0.1 | largest_root, empty subsets left | last | 25 (0) | 1 (0) |")
    assert "| the first batch | 2.739 | 1.000 (1.000 to 1.000) |" in reference.loss_table(results)[2]
    assert len(reference.normal_table(results[reference.NORMAL])) == 2 + 2 * 3
