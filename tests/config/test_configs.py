"""Every config, through its networks; the README's promises about them."""

import pathlib
import re

import jax
import numpy as np
import pytest
from helpers import CONFIGS, load_config

from buresgan_jax import builders, config, losses
from buresgan_jax.algorithms import Batch
from buresgan_jax.config import reference
from buresgan_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_its_networks(name):
    # One data set of each kind for every method; the others differ in size only.
    for method in config.METHODS if name in ("ring", "cifar") else ("bures", "mdgan_v2"):
        if name == "cifar" and config.METHODS[method].on_images is None:
            continue
        full = load_config(name, method)
        algorithm = builders.algorithm(full)
        shape = builders.describe(full).example_shape
        example = np.zeros(shape, np.float32)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), example, algorithm.prepared_like)
        z = jax.ShapeDtypeStruct((2, full.latent.dim), np.float32)
        samples = jax.eval_shape(algorithm.generate, state, z)
        assert samples.shape == (2, *shape)
        assert ("bures_weight" in state.hyperparameters) == ("bures" in method)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256, 512])
def test_an_image_folder_has_networks_of_every_power_of_two(size):
    full = load_config("image_folder", "maem")
    full.data.image_size = size
    algorithm, example = builders.algorithm(full), np.zeros((size, size, 3), np.float32)
    state = jax.eval_shape(algorithm.init, jax.random.key(0), example, algorithm.prepared_like)
    z = jax.ShapeDtypeStruct((2, full.latent.dim), np.float32)
    assert jax.eval_shape(algorithm.generate, state, z).shape == (2, *example.shape)
    last = jax.tree.leaves(state.discriminator.params)[-1]
    assert last.shape == (4 * 4 * 64 * size // 8, 2 * full.discriminator.output_dim)


@pytest.mark.parametrize("name", ["grid", "celeba", "celeba_256"])
def test_smoke_shrinks_a_config_and_needs_no_data(name):
    small = load_config(name, "alternating_bures,smoke")
    assert small.training.num_steps == 2
    source = builders.source(small)
    assert source.example_shape == builders.describe(small).example_shape
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
        ("algorithm.name", "alternate", r"Unknown algorithm 'alternate'. Did you mean 'alternating'\?"),
        ("terms", ("frobenus",), r"Unknown term 'frobenus'. Did you mean 'frobenius'\?.*METHOD\+TERM"),
        ("bures.scale", "max", r"Unknown scale 'max'"),
        ("bures.method", "eig", r"Unknown method 'eig'. Did you mean 'eigh'\?.*Set config.bures.method"),
        (
            "loss.name",
            "hnge",
            r"Unknown loss 'hnge'. Did you mean 'hinge'\?.*Available: .*non_saturating",
        ),
        ("latent.name", "normall", r"Did you mean 'normal'\?"),
        (
            "generator.name",
            "dcgan",
            "generator 'dcgan' is for images, 'ring' has points. Set config.generator.name=mlp",
        ),
        ("data.name", "rnig", r"Unknown data set 'rnig'. Did you mean 'ring'\?"),
        ("generator.dtype", "float16", "Unknown dtype 'float16'"),
        ("optimizer.schedule", "linear", "needs the step at which it ends. Set config.optimizer.decay_steps"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest_right_one(key, value, message):
    wrong = load_config("ring", "bures")
    with wrong.unlocked():
        group, _, name = key.rpartition(".")
        (wrong[group] if group else wrong)[name] = value
    with pytest.raises(UserError, match=message):
        builders.algorithm(wrong)


def test_an_unknown_method_or_component_is_refused_with_the_nearest_right_one():
    with pytest.raises(UserError, match=r"Unknown method 'burres'. Did you mean 'bures'\?.*--config=FILE.py:METHOD"):
        load_config("ring", "burres")
    with pytest.raises(UserError, match=r"Unknown component 'frobenus'. Did you mean 'frobenius'\?"):
        load_config("ring", "gan+frobenus")
    with pytest.raises(UserError, match="'bures' is there twice"):
        load_config("ring", "bures+bures")
    with pytest.raises(UserError, match="takes two of one kind, 'hinge' and 'wasserstein'. Name one loss"):
        load_config("ring", "gan+hinge+wasserstein")
    assert load_config("ring", "wgan_gp+hinge").loss.name == "hinge"  # a component wins over its method


def test_terms_are_added_to_any_method_and_weigh_on_their_own():
    both = load_config("ring", "wgan_gp+bures+gdpp")
    assert both.terms == ("gradient_penalty", "bures", "gdpp")
    assert both.algorithm.objective_scale == 1  # a fact of the method bures, not of its term
    both.bures.weight, both.gdpp.weight = 2.0, 3.0
    game = builders.game(both, None)
    assert [(term.name, term.weight) for term in game.generator_terms] == [("bures", 2), ("gdpp", 3)]
    assert [(term.name, term.weight) for term in game.discriminator_terms] == [("gradient_penalty", 5)]
    packs = builders.game(load_config("ring", "pacgan+bures"), None)
    assert (packs.pack, [term.name for term in packs.generator_terms]) == (2, ["bures"])
    assert builders.game(load_config("ring", "gan+hinge+uniform"), None).loss == losses.hinge()


def test_weights_follow_their_schedule():
    scheduled = load_config("ring", "bures,smoke")
    scheduled.bures.schedule, scheduled.bures.schedule_start, scheduled.bures.schedule_end = "linear", 0.0, 1.0
    scheduled.bures.schedule_steps = 4
    (term,) = builders.game(scheduled, None).generator_terms
    assert [float(term.schedule(step)) for step in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    scheduled.bures.schedule, scheduled.bures.schedule_start = "cosine", 2.0
    (term,) = builders.game(scheduled, None).generator_terms
    np.testing.assert_allclose([term.schedule(step) for step in (0, 2, 4, 9)], [2, 1.5, 1, 1])


def test_learning_rates_fall_to_a_share_of_themselves_and_the_run_goes_on():
    scheduled = load_config("ring", "bures")
    scheduled.optimizer.schedule, scheduled.optimizer.decay_steps = "cosine", 400
    with pytest.raises(UserError, match="the learning rate is 0.* Set both, or config.optimizer.schedule_end"):
        builders.game(scheduled, None)
    scheduled.optimizer.schedule_end = 0.25
    schedule = builders.game(scheduled, None).generator_optimizer.schedule
    np.testing.assert_allclose([schedule(step) for step in (0, 200, 400, 25_000)], [1, 0.625, 0.25, 0.25], rtol=1e-6)


def test_weights_and_learning_rates_follow_r3gans_burn_in():
    scheduled = load_config("ring", "pairing")
    scheduled.r1.weight, scheduled.r2.weight, scheduled.optimizer.generator_learning_rate = 2.0, 1.0, 2e-4
    for options in (scheduled.r1, scheduled.r2, scheduled.optimizer):
        options.schedule = "cosine"
    for term in (scheduled.r1, scheduled.r2):
        term.schedule_end, term.schedule_steps = 0.1, 400
    scheduled.optimizer.schedule_end, scheduled.optimizer.decay_steps = 0.25, 400
    game, steps = builders.game(scheduled, None), (0, 100, 200, 300, 400, 25_000)
    for term, gamma in zip(game.discriminator_terms, (2, 1), strict=True):
        found = [term.weight * term.schedule(step) for step in steps]
        np.testing.assert_allclose(found, np.array([2, 1.7364, 1.1, 0.4636, 0.2, 0.2]) * gamma / 2, atol=5e-5)
    expected = np.array([1, 1.780 / 2, 1.25 / 2, 0.7197 / 2, 0.25, 0.25])
    for optimizer, rate in ((game.generator_optimizer, 2e-4), (game.discriminator_optimizer, 1e-3)):
        found = [optimizer.learning_rate * optimizer.schedule(step) for step in steps]
        np.testing.assert_allclose(found, rate * expected, rtol=5e-4)


def test_a_schedule_ends_with_the_run_and_the_best_method_has_one_setting_for_all_points():
    settings = set()
    for name in ("ring", "grid", "unbalanced_ring", "unbalanced_grid"):
        full = load_config(name, "best")
        assert full.optimizer.decay_steps == full.training.num_steps
        groups = ("latent", "generator", "discriminator", "loss", "sample_mmd", "pseudo_supervision", "optimizer")
        training = full.training.batch_size, full.training.num_steps, full.training.ema_decay
        settings.add(tuple(str(full[group]) for group in groups) + training)
    assert len(settings) == 1
    full.update_from_flattened_dict({"training.num_steps": 10})
    assert full.optimizer.decay_steps == 10


def test_a_method_for_points_refuses_images():
    with pytest.raises(UserError, match="The method 'best' is for points, 'cifar10' has images"):
        load_config("cifar", "best")


def test_alternating_needs_a_term():
    wrong = load_config("ring", "alternating_bures")
    wrong.terms = ()
    with pytest.raises(UserError, match="'alternating' needs a term"):
        builders.algorithm(wrong)


def test_on_points_wgan_gp_has_the_authors_ten_steps_and_weight_of_five_and_on_images_five_and_ten():
    for name, steps, weight in (("ring", 10, 5), ("cifar", 5, 10)):
        full = load_config(name, "wgan_gp")
        assert (full.algorithm.discriminator_steps, full.gradient_penalty.weight) == (steps, weight)
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


@pytest.mark.parametrize("name", ["cifar_resnet", "stl10_resnet"])
def test_what_a_method_sets_on_images_wins_over_the_resnets_settings(name):
    for method, full in ((method, load_config(name, method)) for method in ("maem", "mmd_repulsive")):
        own = config.METHODS[method].on_images.items()
        own = {key: value for key, value in own if key not in ("generator.name", "discriminator.name")}
        assert own == {key: value for key, value in config.flatten(full).items() if key in own}
        assert (full.generator.name, full.optimizer.b2, full.algorithm.simultaneous) == ("resnet", 0.9, False)
    schedule = builders.game(load_config(name, "maem"), None).generator_optimizer.schedule
    np.testing.assert_allclose([schedule(step) for step in (15_649, 15_650, 199_999)], [1, 0.9, 0.9**12], rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["ring", "grid", "stacked_mnist", "cifar", "cifar_resnet", "celeba", "celeba_256", "image_folder"]
)
def test_the_entropies_of_maem_have_their_whole_weight_by_the_middle_of_the_run(name):
    full = load_config(name, "maem")
    game = builders.game(full, None)
    for term in (game.generator_terms[0], game.discriminator_terms[0]):
        assert (term.schedule(0), term.schedule(full.training.num_steps // 2)) == (0, 1)
    assert load_config("ring", "best").pseudo_supervision.schedule_steps == 12_500  # half of the run already


def test_pacgan_has_as_many_packs_as_other_methods_have_samples():
    assert (
        load_config("ring", "pacgan").training.batch_size == 2 * load_config("ring", "gan").training.batch_size == 512
    )


def test_batches_that_packs_do_not_divide_are_refused():
    wrong = load_config("ring", "pacgan")
    wrong.discriminator.pack = 3
    with pytest.raises(UserError, match=r"batch_size 512 cannot be cut into packs of 3 .* multiple of 3, such as 510"):
        builders.algorithm(wrong)
    wrong.training.batch_size = 516  # a multiple of 3 and of 4 devices, but not of both at once on each
    wrong.discriminator.pack = 2
    with pytest.raises(UserError, match="packs of 2 on each of 4 .* multiple of 8, such as 512"):
        builders.algorithm(wrong, "batch")


@pytest.mark.parametrize("size", [1, 6, 7, 12, 13, 101])
@pytest.mark.parametrize("pack", [1, 2, 3])
@pytest.mark.parametrize("num_devices", [1, 3, 4])
def test_a_suggested_batch_size_fits_devices_packs_data_and_terms(size, pack, num_devices):
    full = load_config("ring", "bures,smoke")
    full.training.batch_size, full.discriminator.pack = size, pack
    for num_examples in (None, 100, 12, 4):
        message = refusal_of_batch_size(full, num_devices, num_examples)
        if found := re.search(r"such as (\d+)", message):
            full.training.batch_size = int(found[1])
            assert not refusal_of_batch_size(full, num_devices, None)
            assert not refusal_of_batch_size(full, num_devices, num_examples or 10**9)
            config.check(full)
            full.training.batch_size = size
        elif message:
            assert int(re.search(r"Use at least (\d+) examples", message)[1]) > num_examples


def refusal_of_batch_size(full, *args):
    try:
        builders.check_batch_size(full, *args)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "argument", "changes", "message"),
    [
        (
            "ring",
            "veegan",
            {"loss.name": "hinge"},
            "'veegan' has its own order of steps and objectives: config.loss.name must be 'non_saturating'",
        ),
        ("ring", "veegan+bures", {}, r"config.terms must be \(\), got \('bures',\)"),
        ("ring", "unrolled", {"optimizer.eps_root": 0.0}, "differentiates through the optimizer.* Set it above 0"),
        ("cifar", "wgan_gp", {"discriminator.use_batch_norm": True}, "Set config.discriminator.use_batch_norm=False"),
        ("ring", "alternating_bures", {"algorithm.discriminator_steps": 5}, "'alternating' has its own order of steps"),
        ("ring", "bures", {"bures.max_samples": 1}, "'bures' compares how features vary, which one row cannot tell"),
        ("ring", "pacgan+gdpp", {"training.batch_size": 2}, "at least 2 packs"),
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
    full = load_config("ring", "bures")
    keys = config.flatten(full)
    assert keys.keys() == config.declared(full).keys()
    unread = config.unread(full, keys)
    assert (
        "config.algorithm.name is 'gan'; algorithm.first_order counts with 'unrolled'"
        in unread["algorithm.first_order"]
    )
    assert "config.optimizer.schedule is 'constant'" in unread["optimizer.decay_steps"]
    assert {"data.path", "generator.base_filters", "algorithm.mode_weight", "encoder.hidden"} <= unread.keys()
    read = ["algorithm.simultaneous", "data.num_examples", "loss.name", "seed", "bures.weight", "generator.hidden"]
    assert unread.keys().isdisjoint(read)
    assert "algorithm.mode_weight" not in config.unread(load_config("ring", "mdgan_v1"), keys)


def test_parts_of_the_argument_come_before_those_of_the_file(monkeypatch, tmp_path):
    (tmp_path / "my_parts.py").write_text(
        "from buresgan_jax import declarations\n"
        "@declarations.generator('wide', 'a network')\n"
        "def wide(example_shape, *, axis_name, dtype): ...\n"
        "@declarations.data('mine', 'a data set', describe=None)\n"
        "def mine(*, seed): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = load_config("cifar", "bures+my_parts:wide+my_parts:mine")
    names = [made[group].name for group in ("generator", "data", "discriminator")]
    assert names == ["my_parts:wide", "my_parts:mine", "dcgan"]
    assert load_config("ring", "my_parts:mine").data.name == "my_parts:mine"


def test_keys_of_metrics_count_with_a_metric_that_reads_them():
    full = load_config("cifar", "bures")
    keys = ["evaluation.extractor", "evaluation.subset_size", "evaluation.num_neighbors", "evaluation.num_samples"]
    unread = config.unread(full, keys)
    assert unread.keys() == set(keys[:3])
    assert unread["evaluation.subset_size"].startswith("config.evaluation.metrics is ''; evaluation.subset_size counts")
    full.evaluation.metrics = "vendi_score, kernel_distance"
    assert config.unread(full, keys).keys() == {"evaluation.num_neighbors"}
    full.evaluation.metrics = "kid"
    assert config.unread(full, keys).keys() == {"evaluation.num_neighbors"}


def test_a_key_needs_its_component_and_the_other_key_that_it_counts_with():
    embedded = load_config("ring", "gan+embedding")
    assert not config.unread(embedded, ["latent.noise_factor"])
    embedded.latent.noise = 0.5
    assert "config.latent.noise is 0.5" in config.unread(embedded, ["latent.noise_factor"])["latent.noise_factor"]
    reason = config.unread(load_config("ring", "gan"), ["latent.noise_factor"])["latent.noise_factor"]
    assert reason == "config.latent.name is 'normal'; latent.noise_factor counts with 'embedding'"


def test_what_may_differ_on_resuming_and_under_one_vmap_follows_from_the_declarations():
    full = load_config("ring", "wgan_gp+bures")
    assert {"training.num_steps", "data.data_dir", "evaluation.metrics"} <= config.free_keys(full)
    assert config.free_keys(full).isdisjoint(["bures.weight", "seed", "data.name", "training.batch_size"])
    rates = {f"optimizer.{player}_learning_rate" for player in ("generator", "discriminator")}
    weights = {"bures.weight", "gradient_penalty.weight", "algorithm.mode_weight", "algorithm.reconstruction_weight"}
    assert config.traced_keys(full) == {"seed"} | rates | weights


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.batch_size", 0, "config.training.batch_size must be at least 1, got 0"),
        ("bures.weight", -1.0, "config.bures.weight must be at least 0"),
        ("optimizer.b1", float("nan"), "config.optimizer.b1 must be a finite number, got nan"),
        ("generator.hidden", (8, 0), "config.generator.hidden must be the widths of the hidden layers"),
        ("data.num_examples", 0, "config.data.num_examples must be at least 1"),
        ("optimizer.b1", 1.0, "config.optimizer.b1 must be below 1, got 1.0"),
        ("optimizer.b2", -0.5, "config.optimizer.b2 must be at least 0, got -0.5"),
        ("training.ema_decay", 1.5, "config.training.ema_decay must be below 1, got 1.5"),
        ("optimizer.eps", 1e300, r"config.optimizer.eps must be at most 3e\+38"),
        ("bures.rtol", -1e-3, "config.bures.rtol must be at least 0"),
        ("seed", 2**32, "config.seed must be at most 4294967295, got 4294967296"),
        ("latent.dim", 10**400, "config.latent.dim must be at most 2147483647, got 1000"),
    ],
)
def test_values_out_of_range_are_refused(key, value, message):
    wrong = load_config("ring", "bures")
    wrong.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        config.check(wrong)


WRONG = {
    bool: [None, 1, "True", ()],
    int: [None, True, 1.5, "1", (), 10**12, -(10**12)],
    float: [None, True, "1", (), float("nan"), float("inf"), -float("inf"), 1e39],
    str: [None, 1, True, ()],
    tuple: [None, 1, "1", (0,), (True,), (1.5,), (10**12,)],
}


def test_every_key_refuses_other_types_and_numbers_outside_of_its_limits():
    for key, option in config.declared(load_config("ring", "bures+gdpp+frobenius+gradient_penalty")).items():
        is_number = option.value_type in (int, float)
        assert not is_number or option.limits or option.choices, key
        config.check_value(key, option, option.default)
        for end in (option.least, option.most):
            if end is not None and is_number:
                config.check_value(key, option, option.value_type(end))
        outside = [least - 1 for least in [option.least] if is_number and least is not None]
        outside += [-1e-30] * (option.value_type is float and option.least == 0)
        outside += [option.value_type(end + step) for end, step in ((option.most, 1), (option.below, 0)) if end]
        for value in [*WRONG[option.value_type], *outside]:
            if not (value is None and option.default is None) and key != "terms":
                with pytest.raises(UserError, match=f"config.{key}[ .]|^Unknown"):
                    config.check_value(key, option, value)


@pytest.mark.parametrize("word", ["everything", "methods", "keys", "terms", "data", "metrics", "extractors", "losses"])
def test_every_list_has_its_lines(word):
    text = reference.describe(word)
    names = {"methods": config.METHODS, "terms": ["bures", "gradient_penalty"], "data": ["ring", "cifar10"]}
    names |= {"metrics": ["kernel_distance"], "extractors": ["inception_v3"], "keys": ["training.num_steps"]}
    for name in names.get(word, ["hinge"]):
        assert f"  {name} " in text


def test_one_key_and_one_group_are_explained_and_a_misspelt_one_is_refused():
    assert "config.bures.weight = 1.0" in reference.describe("bures.weight")
    assert "traced" in reference.describe("bures.weight")
    assert "counts with config.optimizer.schedule = 'linear' or 'cosine'" in reference.describe("optimizer.decay_steps")
    assert reference.describe("bures").count("config.bures.") == 9
    with pytest.raises(UserError, match=r"Did you mean 'bures.weight'\?"):
        reference.describe("bures.wieght")


def test_the_reference_page_is_what_the_declarations_make():
    page = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
    assert page == reference.markdown() + "\n", "run: python -m buresgan_jax.main --list=markdown > docs/keys.md"


def test_penalties_may_look_at_a_random_part_of_the_batch():
    part = load_config("ring", "bures,smoke")
    part.bures.max_samples = 4
    algorithm, all_rows = builders.algorithm(part), builders.algorithm(load_config("ring", "bures,smoke"))
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(2, np.float32))
    index = np.arange(8, dtype=np.int32)
    real = Batch(builders.source(part).fetch(index)[None], index[None])
    _, metrics = jax.jit(algorithm.update)(state, real, jax.random.key(1))
    _, full = jax.jit(all_rows.update)(state, real, jax.random.key(1))
    assert 0 < metrics["bures"] < 8  # at most twice the number of rows
    assert metrics["generator_loss"] == full["generator_loss"]


def test_a_method_with_other_terms_keeps_the_keys_of_those_that_stay():
    method = config.METHODS["maem"].with_terms("dlle", "bures")
    assert method.settings["terms"] == ("dlle", "bures")
    assert {key.partition(".")[0] for key in method.settings} & {"entropy", "real_entropy", "disomap"} == set()
    assert method.settings["dlle.weight"] == 0.1
    assert method.on_points == {"discriminator.spectral_multiplier": 5.0, "optimizer.schedule": "cosine"}
    assert method.on_images["latent.dim"] == 64
    assert config.METHODS["best"].with_terms().on_images is None


def test_the_keys_of_a_term_of_ones_own_go_with_it():
    method = config.METHODS["gan"].with_terms("my_gan:ball")._replace(on_points={"ball.radius": 2.8})
    assert method.with_terms("my_gan:ball", "bures").on_points == {"ball.radius": 2.8}
    assert method.with_terms("bures").on_points == {}
