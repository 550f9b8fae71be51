"""Evaluators of points, digits, images and a user's own metric: one form, and each can choose the best checkpoint."""

import json
import textwrap

import numpy as np
import pytest
from helpers import make_config, make_images, read_metrics

from buresgan_jax import builders, data, declarations, extractors, metrics
from buresgan_jax import config as config_lib
from buresgan_jax.declarations import Option
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import modes, options
from buresgan_jax.evaluation.evaluators import Evaluator, best_choice, check_names, evaluate
from buresgan_jax.evaluation.image_evaluator import Comparison, image_evaluator
from buresgan_jax.evaluation.own_metrics import own_evaluator
from buresgan_jax.evaluation.summaries import Summary
from buresgan_jax.training import loop, saved_run

MIXTURE = data.ring_mixture()


class Classifier:
    """Finds the brightest digit to be 9."""

    metadata = {"test_accuracy": 0.75}

    def classify(self, images):
        return np.rint((images.mean((1, 2, 3)) + 1) * 4.5).astype(int)


@declarations.metric("spread", "standard deviation", Option("scale", 2.0, "factor"), larger_is_better=True)
def spread(samples, *, scale):
    """Standard deviation of samples."""
    return scale * samples.std()


@declarations.metric("two", "two numbers", larger_is_better={"low": False, "high": True})
def two(samples):
    """Extremes of samples."""
    return {"low": samples.min(), "high": samples.max()}


def points(n=40):
    return np.concatenate([MIXTURE.means] * (n // 8)).astype(np.float32)


def stacks(n=12):
    """Float images whose three channels are evenly bright."""
    levels = np.random.default_rng(0).integers(0, 10, (n, 1, 1, 3)) / 4.5 - 1
    return np.broadcast_to(levels, (n, 28, 28, 3)).astype(np.float32)


def images(seed=1, n=20):
    return (make_images(seed, num=n) / 127.5 - 1).astype(np.float32)


def make_mode_evaluator():
    return modes.mode_evaluator(MIXTURE, "ring", min_hits=2)


def make_stacked_evaluator():
    return modes.stacked_evaluator(Classifier, lambda: np.arange(1000), "mnist", 1000)


class SetClassifier:
    """Takes dark images for the first set, bright ones for the second, and all between for blends."""

    metadata = {"test_confusion": [[90, 2, 8], [0, 98, 2], [10, 10, 80]], "test_accuracy": 0.9}

    def classify(self, images):
        level = images.mean((1, 2, 3))
        return np.where(level < -0.5, 0, np.where(level > 0.5, 1, 2))


def make_joined_evaluator():
    return modes.joined_evaluator(SetClassifier, lambda: np.arange(300) % 3 // 2, "nights,days")


def shades(levels=(-0.9, -0.8, 0.9, 0.0)):
    return np.broadcast_to(np.reshape(levels, (-1, 1, 1, 1)), (len(levels), 8, 8, 3)).astype(np.float32)


def make_image_evaluator():
    real = data.Source("set", 30, (16, 16, 3), make_images(0, num=30).__getitem__, data.decode_images)
    settings = {"num_real": None, "split": None, "weights": None, "resizer": None, "subset_size": 8}
    names, of_images = ("kernel_distance", "sliced_wasserstein"), {"name": "set", "image_shape": (16, 16, 3)}
    comparison = Comparison(names, extractors.pixels(), settings, data.ImageBatches(real), num_fake=20, **of_images)
    return image_evaluator(comparison, settings)


def of_statistics(names, size, **options):
    moments = metrics.GaussianStatistics(30, np.zeros(2), np.eye(2))
    real = Summary("x.npz", 30, (size, size, 3), None, {"moments": moments})
    options = {"name": "x.npz", "num_fake": 2, "image_shape": (size, size, 3), **options}
    return Comparison(names, extractors.pixels(), {}, real, **options)


def test_statistics_leave_the_metrics_that_use_no_real_images():
    names = ("ms_ssim", "sliced_wasserstein")
    of_statistics(names, 176)  # if none were left, this would raise
    with pytest.raises(UserError, match="sliced_wasserstein: it needs the real images, and x.npz holds their mean"):
        of_statistics(names, 176, strict=True)


EVALUATORS = {
    "points": (make_mode_evaluator, points, "reverse_kl", {"min_hits": 2}),
    "digits": (make_stacked_evaluator, stacks, "modes", {}),
    "joined sets": (make_joined_evaluator, shades, "unwanted_share", {}),
    "images": (make_image_evaluator, images, "kernel_distance_pixels", {"subset_size": 8, "split": None}),
    "own, of points": (lambda: own_evaluator(spread, {"scale": 3.0}, "points"), points, "spread", {"scale": 3.0}),
    "own, of images": (lambda: own_evaluator(spread, {}, "images"), images, "spread", {"scale": 2.0}),
    "own, several": (lambda: own_evaluator(two, {"scale": 3.0}, "points"), points, "low", {}),
}


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_has_the_one_form(name):
    make, samples, _, settings = EVALUATORS[name]
    evaluator = make()
    assert isinstance(evaluator, Evaluator)
    entries = evaluator(samples())
    assert tuple(entries) == evaluator.names
    assert set(evaluator.larger_is_better) <= set(entries)
    assert {option for names in evaluator.options.values() for option in names} <= set(evaluator.settings)
    assert settings.items() <= evaluator.settings.items()
    for entry in entries.values():
        assert type(entry["value"]) in (int, float)
        assert entry["n_fake"] == len(samples())
        assert json.loads(json.dumps(entry)) == entry


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_can_choose_the_best(name):
    make, _, number, settings = EVALUATORS[name]
    evaluator = make()
    found = best_choice([evaluator], f"ema_{number}", 50)
    assert found["larger_is_better"] == (
        number not in ("reverse_kl", "unwanted_share", "kernel_distance_pixels", "low")
    )
    assert found["made_by"].items() >= {"num_samples": 50, **settings}.items()
    if evaluator.is_costly:
        with pytest.raises(UserError, match=f"Unknown number '{number}'. Did you mean 'ema_{number}'?"):
            best_choice([evaluator], number, 50)
    else:
        assert best_choice([evaluator], number, 50) == found


def test_unwanted_images_count_and_the_others_are_compared_with_the_sets():
    found = make_joined_evaluator()(shades())
    values = {name: entry["value"] for name, entry in found.items()}
    floor = values.pop("reverse_kl_floor")
    assert values == {
        "unwanted_share": 0.25,
        "unwanted_share_floor": pytest.approx(0.06),  # 8 % of the first set, 2 % of the second, two to one
        "modes": 2,
        "reverse_kl": pytest.approx(0, abs=1e-12),  # two to one, as the data
    }
    assert 0 < floor < 1
    assert (found["unwanted_share"]["blends_found"], found["unwanted_share"]["classifier_accuracy"]) == (0.8, 0.9)
    assert found["unwanted_share"]["made_from"] == "the classifier of nights,days and blends of two"
    one_sided = {name: entry["value"] for name, entry in make_joined_evaluator()(shades((0.9, 0.8, 0.7))).items()}
    assert (one_sided["unwanted_share"], one_sided["modes"]) == (0, 1)
    assert one_sided["reverse_kl"] == pytest.approx(np.log(3), rel=1e-5)


def test_without_a_wanted_image_nothing_is_said_of_the_sets():
    found = make_joined_evaluator()(shades((0.0, 0.1)))
    assert (found["unwanted_share"]["value"], found["modes"]["value"]) == (1, 0)
    assert found["reverse_kl"] == {**found["reverse_kl"], "value": None, "undefined": "all images are unwanted"}
    with pytest.raises(UserError, match="Unknown number 'unwanted_share_floor'"):
        best_choice([make_joined_evaluator()], "unwanted_share_floor", 50)


def test_without_a_classifier_of_the_sets_a_run_goes_on():
    def find_classifier():
        raise UserError("too few images")

    evaluator = modes.joined_evaluator(find_classifier, lambda: np.arange(2), "nights,days")
    found = evaluator(shades())
    assert tuple(found) == evaluator.names
    assert {(entry["value"], entry["undefined"]) for entry in found.values()} == {(None, "too few images")}


def test_numbers_of_points_and_digits_are_those_of_the_metrics():
    entries = make_mode_evaluator()(points())
    assert {name: entry["value"] for name, entry in entries.items()} == {
        "modes": 8,
        "high_quality_share": 1.0,
        "reverse_kl": pytest.approx(0, abs=1e-12),
        "mode_spread": pytest.approx(0, abs=1e-12),
    }
    assert entries["modes"]["made_from"] == "points of ring, 3 std, min_hits 2"
    evaluator = make_stacked_evaluator()
    found = {name: entry["value"] for name, entry in evaluator(stacks()).items()}
    assert found["modes"] == len(np.unique(stacks().mean((1, 2)), axis=0))
    assert found["classifier_accuracy"] == 0.75
    with pytest.raises(UserError, match="Unknown number 'classifier_accuracy'"):  # it says nothing of a generator
        best_choice([evaluator], "classifier_accuracy", 50)


def test_training_spends_costly_evaluators_on_the_averaged_generator_only():
    cheap, costly = own_evaluator(two, {}, "points"), own_evaluator(spread, {}, "images")
    drawn = []

    def draw(*, ema):
        drawn.append(ema)
        return images()

    found = [name for name, _ in evaluate([cheap, costly], draw, in_training=True)]
    assert found == ["low", "high", "ema_low", "ema_high", "ema_spread"]
    assert [name for name, _ in evaluate([costly], draw, in_training=True)] == ["ema_spread"]
    assert [name for name, _ in evaluate([costly], draw)] == ["spread", "ema_spread"]
    assert drawn == [False, True, True, False, True]  # samples are drawn once for all evaluators
    assert list(evaluate([], draw)) == []


def test_own_metrics_get_points_or_uint8_images():
    seen = []

    @declarations.metric("seen", "notes what it gets", larger_is_better=True)
    def note(samples):
        seen.append((samples.dtype, samples.shape))
        return np.float32(0.5)

    assert own_evaluator(note, {}, "points")(points().astype(np.float64))["seen"]["value"] == 0.5
    entry = own_evaluator(note, {}, "images")(images())["seen"]
    assert seen == [(np.float32, (40, 2)), (np.uint8, (20, 16, 16, 3))]
    assert entry == {"n_fake": 20, "made_from": "images by seen", "value": 0.5}


def returning(value):
    @declarations.metric("mine", "a number", larger_is_better=True)
    def mine(samples):
        return value() if callable(value) else value

    return own_evaluator(mine, {}, "points")


def raises(error):
    def function():
        raise error

    return function


MISTAKES = {
    "error": (raises(KeyError("x")), r"The metric 'mine' failed with KeyError: 'x' \(.*test_evaluators.py, line \d+\)"),
    "names": ({"yours": 1.0}, "The metric 'mine' returned yours, but declares mine. Make its larger_is_better name"),
    "array": (np.zeros(2), r"The metric 'mine' must return numbers, got mine=array\(\[0., 0.\]\)"),
    "nothing": (None, "The metric 'mine' must return numbers, got mine=None"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_an_own_metric_name_it(name):
    value, message = MISTAKES[name]
    with pytest.raises(UserError, match=message):
        returning(value)(points())


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "it is nan"), (raises(ValueError("no pairs")), "no pairs")])
def test_own_metrics_may_be_undefined(value, reason):
    entry = returning(value)(points())["mine"]
    assert (entry["value"], entry["undefined"]) == (None, reason)


def test_names_are_unique():
    with pytest.raises(UserError, match="Two metrics have a number called 'low'. Rename one of them."):
        check_names([own_evaluator(two, {}, "points")] * 2)


# From a config


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The name of a module of the user's, with two metrics."""
    text = """
        from buresgan_jax.declarations import Option, metric

        @metric("spread", "standard deviation", Option("scale", 2.0, "factor"), larger_is_better=True)
        def spread(samples, *, scale):
            return scale * samples.std()

        @metric("two", "extremes", larger_is_better={"low": False, "high": True})
        def two(samples):
            return {"low": samples.min(), "high": samples.max()}
        """
    name = f"mine_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_config_gets_the_evaluators_of_its_data(mine, tmp_path):
    (of_points,) = builders.evaluators(make_config(evaluation__min_hits=3), workdir=tmp_path)
    assert (of_points.settings, of_points.is_costly) == ({"min_hits": 3}, False)
    config = make_config(data_set="mnist")
    assert builders.evaluators(config, workdir=tmp_path) == ()
    config.evaluation.metrics = f"kernel_distance,{mine}:two"
    of_images, own = builders.evaluators(config, workdir=tmp_path)
    assert (of_images.names, own.names) == (("kernel_distance_pixels",), ("low", "high"))
    assert of_images.is_costly
    assert own.is_costly
    assert of_images.settings.items() >= {"subset_size": 8, "num_neighbors": 5, "split": None}.items()
    config.data.name, config.evaluation.split = "image_folder", "test"
    with pytest.raises(UserError, match="config.evaluation.split='test': 'image_folder' has no splits."):
        builders.evaluators(config, workdir=tmp_path)
    config.evaluation.metrics = "two"
    with pytest.raises(UserError, match="Unknown metric 'two'"):
        builders.evaluators(config, workdir=tmp_path)


def test_an_own_metric_is_evaluated_in_training_and_chooses_the_best(mine, tmp_path, capfd):
    workdir = tmp_path / "run"
    changes = {"evaluation__every_steps": 6, "evaluation__best_by": "ema_low"}
    config = config_lib.finish(make_config(**changes, evaluation__metrics=f"{mine}:spread, {mine}:two"))
    config.training.update({"num_steps": 12, "checkpoint_every_steps": 6})
    config.evaluation.every_steps, config.evaluation.scale = 6, 3.0
    loop.train_and_evaluate(config, workdir)
    found = {line["step"]: line for line in read_metrics(workdir) if line["split"] == "eval"}
    assert list(found) == [6, 12]
    assert {"modes", "spread", "low", "ema_low"} <= set(found[6])
    record = json.loads((workdir / "best.json").read_text())
    assert record["step"] == min(found, key=lambda step: found[step]["ema_low"])
    assert record["num_samples"] == 16
    capfd.readouterr()
    (values,) = saved_run.run_evaluation(workdir)
    assert values["step"] == 12
    assert "| ema_spread | " in capfd.readouterr().err
    (document,) = json.loads((workdir / "evaluation.json").read_text())
    assert document.items() >= {"step": 12, "min_hits": 1, "scale": 3.0}.items()
    assert document["metrics"]["spread"]["made_from"] == f"points by {mine}:spread"


# Options


def test_options_are_the_keys_of_the_config():
    whole, smoke = (config_lib.finish(config_lib.default(each)).evaluation for each in ("gan", "gan,smoke"))
    assert {option.name for option in options.ALL} == set(whole)
    assert len(options.ALL) == len(whole)
    for option in options.ALL:
        assert whole[option.name] == option.default
        assert smoke[option.name] == (option.smoke if option.has_smoke else option.default)
        assert option.is_free


def test_numbers_below_their_least_values_are_refused():
    least = {option.name: option.least for option in options.ALL if option.least is not None}
    assert least["subset_size"] == 2
    for name, value in least.items():
        config_lib.check(make_config(**{f"evaluation__{name}": value}))
        with pytest.raises(UserError, match=f"config.evaluation.{name} must be at least {value}, got {value - 1}."):
            config_lib.check(make_config(**{f"evaluation__{name}": value - 1}))


def test_options_of_metrics_have_defaults():
    entry = make_image_evaluator()(images())["kernel_distance_pixels"]
    assert (entry["subset_size"], entry["num_subsets"]) == (8, 100)
    assert spread(scale=1.0)(np.array([0.0, 2.0])) == 1.0
    assert spread()(np.array([0.0, 2.0])) == 2.0
