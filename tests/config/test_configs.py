"""Every config, through its networks; the README's promises about them."""

import pathlib

import jax
import numpy as np
import pytest
from helpers import CONFIGS, load_config

from buresgan_jax import builders, config, data
from buresgan_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_its_networks(name):
    # One data set of each kind for every method; the others differ in size only.
    for method in config.METHODS if name in ("ring", "cifar") else ("bures", "mdgan_v2"):
        full = load_config(name, method)
        algorithm = builders.algorithm(full)
        shape = builders.example_shape(full)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), np.zeros(shape, np.float32))
        z = jax.ShapeDtypeStruct((2, full.latent.dim), np.float32)
        samples = jax.eval_shape(algorithm.generate, state, z)
        assert samples.shape == (2, *shape)
        assert ("bures_weight" in state.hyperparameters) == ("bures" in method)


@pytest.mark.parametrize("name", ["grid", "celeba"])
def test_smoke_shrinks_a_config_and_needs_no_data(name):
    small = load_config(name, "alternating_bures,smoke")
    assert small.training.num_steps == 2
    source = builders.source(small)
    assert source.example_shape == builders.example_shape(small)
    assert source.fetch(np.arange(3)).shape == (3, *source.example_shape)


@pytest.mark.parametrize(
    ("name", "is_drawn"), [("ring", True), ("stacked_mnist", True), ("cifar10", False), ("image_folder", False)]
)
def test_runs_have_the_same_data_unless_their_seed_draws_them(name, is_drawn):
    one, two = config.default(), config.default("gan")
    one.data.name = two.data.name = name
    assert builders.source_key(one) == builders.source_key(two)
    two.seed = 1
    assert (builders.source_key(one) == builders.source_key(two)) == (not is_drawn)
    two.data.num_examples, two.seed = 7, 0
    assert builders.source_key(one) != builders.source_key(two)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_opens_with_the_command_that_runs_it(name):
    text = CONFIGS[name].read_text(encoding="utf-8")
    assert f"--config=configs/{name}.py --workdir=" in text.split('"""')[1]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("method", "burres", r"Unknown method 'burres'. Did you mean 'bures'\?.*--config=FILE.py:METHOD"),
        ("algorithm.name", "alternate", r"Unknown algorithm 'alternate'. Did you mean 'alternating'\?"),
        ("penalty.name", "frobenus", r"Unknown penalty 'frobenus'. Did you mean 'frobenius'\?.*config.penalty.name"),
        ("penalty.scale", "max", r"Unknown scale 'max'"),
        (
            "loss.name",
            "hnge",
            r"Unknown loss 'hnge'. Did you mean 'hinge'\?.*Available: hinge, non_saturating, wasserstein",
        ),
        ("latent.name", "normall", r"Did you mean 'normal'\?"),
        (
            "generator.name",
            "dcgan",
            "generator 'dcgan' is for images, 'ring' has points. Set config.generator.name=mlp",
        ),
        ("data.name", "rnig", r"Unknown data set 'rnig'. Did you mean 'ring'\?"),
        ("generator.dtype", "float16", "Unknown dtype 'float16'"),
        ("optimizer.schedule", "linear", "needs the step at which it reaches 0. Set config.optimizer.decay_steps"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest_right_one(key, value, message):
    wrong = load_config("ring", "bures")
    with wrong.unlocked():
        group, _, name = key.rpartition(".")
        (wrong[group] if group else wrong)[name] = value
    with pytest.raises(UserError, match=message):
        builders.algorithm(wrong)


def test_alternating_needs_a_penalty():
    wrong = load_config("ring", "alternating_bures")
    wrong.penalty.name = None
    with pytest.raises(UserError, match="'alternating' needs a penalty"):
        builders.algorithm(wrong)


def test_on_points_wgan_gp_has_the_authors_ten_steps_and_weight_of_five_and_on_images_five_and_ten():
    for name, steps, weight in (("ring", 10, 5), ("cifar", 5, 10)):
        full = load_config(name, "wgan_gp")
        assert (full.algorithm.discriminator_steps, full.discriminator_penalty.weight) == (steps, weight)
        assert builders.algorithm(full).batches_per_update == steps


@pytest.mark.parametrize(("name", "sizes"), [("cifar_resnet", (32,)), ("stl10_resnet", (96, 48))])
def test_resnets_have_the_authors_optimizer(name, sizes):
    full = load_config(name, "bures")
    options = full.optimizer
    assert (options.b1, options.b2, options.generator_learning_rate, options.schedule) == (0, 0.9, 5e-4, "linear")
    assert options.decay_steps == full.training.num_steps
    for size in sizes:
        full.data.image_size = size
        builders.algorithm(full)
    full.update_from_flattened_dict({"training.num_steps": 300_000})
    assert options.decay_steps == 300_000
    options.decay_steps = 200_000
    with pytest.raises(UserError, match="From config.optimizer.decay_steps=200000 on the learning rate is 0"):
        builders.algorithm(full)


def test_pacgan_has_as_many_packs_as_other_methods_have_samples():
    assert (
        load_config("ring", "pacgan").training.batch_size == 2 * load_config("ring", "gan").training.batch_size == 512
    )


def test_batches_that_packs_do_not_divide_are_refused():
    wrong = load_config("ring", "pacgan")
    wrong.discriminator.pack = 3
    with pytest.raises(UserError, match=r"batch_size 512 cannot be cut into packs of 3 .* multiple of 3, such as 513"):
        builders.algorithm(wrong)
    wrong.training.batch_size = 516  # a multiple of 3 and of 4 devices, but not of both at once on each
    wrong.discriminator.pack = 2
    with pytest.raises(UserError, match="packs of 2 on each of 4 .* multiple of 8, such as 512"):
        builders.algorithm(wrong, "batch")


@pytest.mark.parametrize(
    ("name", "argument", "changes", "message"),
    [
        (
            "ring",
            "veegan",
            {"penalty.name": "bures"},
            "'veegan' has its own losses, no others: config.penalty.name must be None",
        ),
        ("ring", "unrolled", {"optimizer.eps_root": 0.0}, "differentiates through the optimizer.* Set it above 0"),
        ("cifar", "wgan_gp", {"discriminator.use_batch_norm": True}, "Set config.discriminator.use_batch_norm=False"),
        ("ring", "alternating_bures", {"algorithm.discriminator_steps": 5}, "'alternating' has its own order of steps"),
        ("ring", "bures", {"penalty.max_samples": 1}, "'bures' compares how features vary, which one row cannot tell"),
        ("ring", "pacgan", {"penalty.name": "gdpp", "training.batch_size": 2}, "at least 2 packs"),
        ("ring", "veegan", {"encoder.hidden": ()}, r"config.encoder.hidden must be the widths"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(name, argument, changes, message):
    wrong = load_config(name, argument)
    wrong.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        builders.algorithm(wrong)


def test_image_sizes_that_no_network_supports_are_refused():
    wrong = load_config("image_folder", "bures")
    wrong.data.image_size = 17
    with pytest.raises(UserError, match="17x17"):
        builders.algorithm(wrong)


def test_keys_that_change_nothing_are_known():
    full = load_config("ring", "gan")
    keys = config.flatten(full)
    assert set(config._READ_WITH) <= set(keys)
    assert {other for other, _ in config._READ_WITH.values()} <= set(keys)
    unread = config.unread(full, keys)
    assert "config.penalty.name is None; penalty.weight counts with 'bures' or" in unread["penalty.weight"]
    assert unread.keys().isdisjoint(["algorithm.simultaneous", "data.num_examples", "loss.name", "seed"])
    assert "penalty.weight" not in config.unread(load_config("ring", "bures"), keys)
    drawn = {each.name for each in (data.ring, data.grid, data.unbalanced_ring, data.unbalanced_grid)}
    assert drawn < set(config._READ_WITH["data.num_examples"][1])


def test_penalties_may_look_at_a_random_part_of_the_batch():
    part = load_config("ring", "bures,smoke")
    part.penalty.max_samples = 4
    algorithm, all_rows = builders.algorithm(part), builders.algorithm(load_config("ring", "bures,smoke"))
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(2, np.float32))
    real = builders.source(part).fetch(np.arange(8))[None]
    _, metrics = jax.jit(algorithm.update)(state, real, jax.random.key(1))
    _, full = jax.jit(all_rows.update)(state, real, jax.random.key(1))
    assert 0 < metrics["bures"] < 8  # at most twice the number of rows
    assert metrics["generator_loss"] == full["generator_loss"]
