"""MaEM-GAN: its sampled outputs, its buffers, its schedules, and the entropy term beside other methods."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from helpers import load_config

from buresgan_jax import builders, config, losses, networks
from buresgan_jax.algorithms import Batch
from buresgan_jax.algorithms.apply import variables
from buresgan_jax.errors import UserError


def tiny(method, **settings):
    made = config.default(f"{method},smoke")
    made.data.name = "ring"
    made = config.finish(made)
    made.update_from_flattened_dict(settings)
    return made


def start(made):
    algorithm = builders.algorithm(made)
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(2, np.float32), algorithm.prepared_like)
    real = np.random.default_rng(0).normal(size=(algorithm.batches_per_update, 8, 2)).astype(np.float32)
    return jax.device_get(state), Batch(real, np.zeros(real.shape[:2], np.int32)), jax.jit(algorithm.update)


class Halves(nn.Module):
    """Means that are the input, and one logarithm of all variances."""

    log_variance: float

    @nn.compact
    def __call__(self, x, *, train):
        scale = self.param("scale", nn.initializers.ones_init(), (1, 1))
        return scale * jnp.concatenate([x, jnp.full_like(x, self.log_variance)], axis=1), x, {"other": x}


def test_outputs_are_drawn_around_the_mean_with_the_networks_variance_and_are_the_mean_in_inference_mode():
    module = networks.SampledOutputs(Halves(2 * np.log(0.3)))
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    params = module.init(jax.random.key(0), x, train=True)
    outputs, features, extra = module.apply(params, x, train=True, rngs={"params": jax.random.key(1)})
    np.testing.assert_array_equal(extra["mean"], x)
    assert extra.keys() == {"other", "mean"}
    assert features is x
    np.testing.assert_allclose(np.std(outputs - x, axis=0), 0.3, rtol=0.05)
    np.testing.assert_allclose(np.mean(outputs - x, axis=0), 0, atol=0.02)
    np.testing.assert_array_equal(module.apply(params, x, train=False)[0], x)


@pytest.mark.parametrize("log_variance", [2.0, 20.0, 300.0])
def test_the_variance_of_the_outputs_has_a_smooth_bound(log_variance):
    module, x = networks.SampledOutputs(Halves(log_variance)), np.zeros((4000, 3), np.float32)
    params = module.init(jax.random.key(0), x, train=True)

    def mean_square(params):
        outputs, _, _ = module.apply(params, x, train=True, rngs={"params": jax.random.key(1)})
        return jnp.mean(outputs**2)

    value, slope = jax.value_and_grad(mean_square)(params)
    bound = np.exp(2)  # softplus(0) = log 2 below it where the logarithm is at the bound
    assert value == pytest.approx(bound / 2 if log_variance == 2 else bound, rel=0.05)
    (slope,) = jax.tree.leaves(slope)
    expected = value * log_variance * jax.nn.sigmoid(2.0 - log_variance)  # 0 in float32 at 300
    np.testing.assert_allclose(slope, np.full((1, 1), expected), rtol=1e-3)


def test_the_loss_is_that_of_the_mean_of_the_outputs():
    real, fake = np.random.default_rng(0).normal(size=(2, 8, 16)).astype(np.float32)
    loss, order = losses.wasserstein(), np.random.default_rng(1).permutation(16)
    for player in (loss.discriminator, loss.generator):
        value = player(real, fake)
        assert value == pytest.approx(float(player(real[:, order], fake[:, order])), abs=1e-6)
        assert value == pytest.approx(float(player(*(x.mean(1, keepdims=True) for x in (real, fake)))), abs=1e-6)


def test_buffers_hold_the_codes_before_each_move_newest_last():
    made = tiny("maem", **{"entropy.capacity": 20, "real_entropy.capacity": 20})
    state, real, update = start(made)
    discriminator = builders.game(made, None).discriminator
    new, _ = update(state, real, jax.random.key(1))
    ring = new.buffers["real_entropy"]
    assert (int(ring.count), int(ring.pointer)) == (20, 4)  # three moves of 8
    network = variables(state.discriminator)
    # Spectral vectors advance after the move.
    _, _, extra = discriminator.apply(network, real.examples[0], train=False)
    np.testing.assert_allclose(ring.rows[4:8], extra["mean"][4:], rtol=1e-4, atol=1e-6)
    assert int(new.buffers["entropy"].count) == 8
    later, _ = update(new, real, jax.random.key(2))
    assert (int(later.buffers["entropy"].count), int(later.buffers["entropy"].pointer)) == (16, 16)
    np.testing.assert_array_equal(later.buffers["entropy"].rows[:8], new.buffers["entropy"].rows[:8])


METHODS = {
    "bures": {}, "wgan_gp": {}, "alternating_bures": {}, "pacgan": {}, "mdgan_v1": {}, "mdgan_v2": {}, "unrolled": {},
    "unrolled_as_the_authors": {"algorithm.reference_compat": True},
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_entropy_term_fits_every_method_and_its_buffer_fills(method):
    made = tiny(f"{method.removesuffix('_as_the_authors')}+entropy", **METHODS[method], **{"training.batch_size": 8})
    state, real, update = start(made)
    rows = 8 // made.discriminator.pack
    state, first = update(state, real, jax.random.key(1))
    assert (first["entropy"], int(state.buffers["entropy"].count)) == (0, rows)
    state, second = update(state, real, jax.random.key(2))
    assert int(state.buffers["entropy"].count) == 2 * rows
    assert np.isfinite(second["entropy"])
    assert second["entropy"] != 0


@pytest.mark.parametrize("term", ["entropy", "real_entropy"])
@pytest.mark.parametrize("mode", ["log_mean", "cosine"])
def test_other_modes_and_codes_train(term, mode):
    settings = {f"{term}.mode": mode, f"{term}.codes": "outputs", f"{term}.neighbor": 2}
    made = tiny(f"gan+{term}", **settings, **{"discriminator.output_dim": 3})
    state, real, update = start(made)
    for seed in range(2):
        state, metrics = update(state, real, jax.random.key(seed))
    assert state.buffers[term].rows.shape == (16, 3)
    assert np.isfinite(metrics[term])
    assert metrics[term] != 0


def test_weights_warm_up_from_zero_and_rates_fall_by_stairs():
    full = load_config("cifar", "maem")
    game = builders.game(full, None)
    (entropy,) = game.generator_terms
    real_entropy = game.discriminator_terms[0]
    assert (entropy.name, real_entropy.name) == ("entropy", "real_entropy")
    for term in (entropy, real_entropy):
        np.testing.assert_allclose([term.schedule(step) for step in (0, 15_650, 31_300, 99_999)], [0, 0.5, 1, 1])
    schedule = game.generator_optimizer.schedule
    found = [schedule(step) for step in (0, 15_649, 15_650, 31_300, 99_999)]
    np.testing.assert_allclose(found, [1, 1, 0.9, 0.81, 0.9**6], rtol=1e-6)
    assert builders.algorithm(full).batches_per_update == 3


def test_wrong_choices_are_explained():
    with pytest.raises(UserError, match="entropy.neighbor must be at most config.entropy.capacity"):
        builders.algorithm(tiny("gan+entropy", **{"entropy.neighbor": 17}))
    with pytest.raises(UserError, match="no mean of its outputs.* config.discriminator.sampled_outputs=True"):
        start(tiny("gan+entropy", **{"entropy.codes": "mean"}))
