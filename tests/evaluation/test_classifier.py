"""Classifiers of samples: they learn, their files are checked, and their labels reach the metrics."""

import functools
import importlib.util
import json
import pathlib
import sys

import jax
import numpy as np
import pytest
from helpers import load_config

from buresgan_jax import builders, data, train_classifier
from buresgan_jax.data import Source, decode_images, stacked_source
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import classifier, classifier_training
from buresgan_jax.evaluation.evaluators import evaluate
from buresgan_jax.networks import ImageClassifier

ROOT = pathlib.Path(__file__).parents[2]
_SMALL = ImageClassifier(filters=(4, 4), hidden=16)


def _digits(num_examples=400, *, offset=0, name="mnist"):
    """Noisy gray pictures whose label is the position of a bright bar."""
    indices = np.arange(offset, offset + num_examples)
    labels = indices * 7 % 10
    images = np.random.default_rng(offset).integers(0, 100, (num_examples, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 4 : 2 * label + 7] = 250
    return Source(name, num_examples, (28, 28, 1), images.__getitem__, decode_images, labels.__getitem__)


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch):
    """So that little is padded, and that there is more than one part."""
    monkeypatch.setattr(classifier, "_BATCH", 40)


@functools.cache
def _trained():
    options = {"num_validation": 80, "num_epochs": 6, "batch_size": 20, "learning_rate": 1e-2, "network": _SMALL}
    return classifier_training.train_classifier(_digits(), _digits(100, offset=1000), **options)


def test_the_classifier_is_the_papers():
    x = jax.ShapeDtypeStruct((2, 28, 28, 1), np.float32)
    variables = jax.eval_shape(functools.partial(ImageClassifier().init, train=False), jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 1_111_946
    assert variables["params"]["Dense_0"]["kernel"].shape == (1024, 1024)


def test_maxima_are_of_two_by_two_pixels():
    network, x = ImageClassifier(filters=(3,), hidden=2), np.random.default_rng(0).normal(size=(2, 8, 8, 1))
    params = jax.jit(lambda key: network.init(key, x, train=False))(jax.random.key(1))["params"]
    kernel, hidden, last = (np.float64(params[name]["kernel"]) for name in ("Conv_0", "Dense_0", "Dense_1"))
    windows = np.lib.stride_tricks.sliding_window_view(x[..., 0], (5, 5), axis=(1, 2))
    y = np.maximum(np.einsum("bhwij,ijc->bhwc", windows, kernel[:, :, 0]), 0)
    y = np.stack([y[:, i::2, j::2] for i in range(2) for j in range(2)]).max(0)
    expected = np.maximum(y.reshape(2, -1) @ hidden, 0) @ last
    actual = jax.jit(functools.partial(network.apply, train=False))({"params": params}, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_training_learns_and_says_what_it_did():
    trained = _trained()
    assert trained.metadata["test_accuracy"] > 0.9
    assert trained.metadata["validation_accuracy"] > 0.9
    sizes = [trained.metadata[name] for name in ("num_train", "num_validation", "num_test")]
    assert sizes == [320, 80, 100]
    assert 1 <= trained.metadata["best_epoch"] <= 6
    test = _digits(100, offset=1000)
    images = np.asarray(decode_images(test.fetch(np.arange(100))))
    labels = trained.classify(images)
    assert labels.shape == (100,)
    assert (labels == test.labels(np.arange(100))).mean() == trained.metadata["test_accuracy"]
    confusion = np.array(trained.metadata["test_confusion"])
    assert confusion.trace() == (labels == test.labels(np.arange(100))).sum()
    np.testing.assert_array_equal(confusion.sum(0), np.bincount(labels, minlength=10))
    np.testing.assert_array_equal(confusion.sum(1), np.bincount(test.labels(np.arange(100)), minlength=10))
    np.testing.assert_array_equal(trained.classify(images[:3]), labels[:3])
    assert trained.classify(images[:0]).shape == (0,)


def test_held_out_pictures_choose_the_epoch(monkeypatch):
    """With losses that grow from the first epoch on, the first epoch's weights are kept."""
    seen = []

    def growing(candidate, images, labels):
        seen.append((len(images), candidate.params))
        return float(len(seen)), 0.5

    monkeypatch.setattr(classifier_training, "_score", growing)
    options = {"num_validation": 40, "num_epochs": 2, "batch_size": 20}
    trained = classifier_training.train_classifier(
        _digits(120), _digits(30), network=ImageClassifier(filters=(2,), hidden=2), **options
    )
    assert [size for size, _ in seen] == [40, 40]
    assert trained.metadata["best_epoch"] == 1
    assert trained.params is seen[0][1]
    assert np.any(seen[0][1]["Dense_1"]["bias"] != seen[1][1]["Dense_1"]["bias"])


def test_data_that_cannot_train_a_classifier_are_refused():
    with pytest.raises(UserError, match="'mnist' has 400 pictures, too few to hold out 5000 and train on batches of"):
        classifier_training.train_classifier(_digits(), _digits())
    with pytest.raises(UserError, match="'mnist' has no labels"):
        classifier_training.train_classifier(_digits()._replace(labels=None), _digits())
    with pytest.raises(UserError, match="num_epochs of the classifier must be at least 1, got 0"):
        classifier_training.train_classifier(_digits(), _digits(), num_epochs=0)


# The file


def test_a_file_gives_back_the_classifier(tmp_path):
    trained, file = _trained(), tmp_path / "new" / "digit_classifier.npz"
    classifier.save_classifier(trained, file)
    loaded = classifier.load_classifier(file, "mnist", network=_SMALL)
    assert loaded.metadata == trained.metadata
    jax.tree.map(np.testing.assert_array_equal, loaded.params, trained.params)
    assert [path.name for path in file.parent.iterdir()] == ["digit_classifier.npz"]


def _flip(data):
    position = len(data) // 2  # within the weights, which are not compressed
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:500], lambda data: b"x" * 900, _flip])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    file = tmp_path / "digit_classifier.npz"
    classifier.save_classifier(_trained(), file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        UserError, match=r"digit_classifier.npz is damaged \(.*python -m buresgan_jax.train_classifier --data=mnist"
    ) as error:
        classifier.load_classifier(file, "mnist", network=_SMALL)
    assert "\n" not in str(error.value)


def test_a_file_of_something_else_is_refused_in_one_line(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "arrays.npz", samples=np.zeros(3))
    for name, message in [
        ("array.npy", r"array.npy is no classifier \(it has no 'metadata'\)\. Remove it, or train another: "),
        ("arrays.npz", r"arrays.npz is no classifier \(it has no 'metadata'\)"),
        ("", r" cannot be read: .*Is a directory: .*\. Give another file\."),
    ]:
        with pytest.raises(UserError, match=message):
            classifier.load_classifier(tmp_path / name, "mnist")


def test_a_file_of_changed_metadata_or_for_something_else_is_refused(tmp_path):
    file = tmp_path / "digit_classifier.npz"
    classifier.save_classifier(_trained(), file)
    with pytest.raises(UserError, match="is for 'mnist', not for 'fashion_mnist'. Remove it, or train another: "):
        classifier.load_classifier(file, "fashion_mnist", network=_SMALL)
    with pytest.raises(UserError, match=r"has weights .*\(4,\).* expected are .*\(32,\)"):
        classifier.load_classifier(file, "mnist")
    with pytest.raises(
        UserError,
        match="absent.npz does not exist. Train one: python -m buresgan_jax.train_classifier --data=m",
    ):
        classifier.load_classifier(tmp_path / "absent.npz", "mnist")
    with np.load(file) as content:
        arrays = dict(content)
    arrays["metadata"] = json.dumps(_trained().metadata | {"test_accuracy": 1.5})
    np.savez(file, **arrays)
    with pytest.raises(UserError, match="its checksum differs"):
        classifier.load_classifier(file, "mnist", network=_SMALL)


def test_the_command_line_writes_the_file_and_says_mistakes_in_one_line(tmp_path, monkeypatch, capsys):
    asked, trained = [], _trained()

    def source(name, *, split, data_dir):
        asked.append((name, split, data_dir))
        return _digits(100 if split == "test" else 400, offset=1000 if split == "test" else 0, name=name)

    monkeypatch.setattr(classifier_training, "tfds_source", source)
    monkeypatch.setattr(
        classifier_training, "train_classifier", lambda *_, **options: trained._replace(metadata=options)
    )
    file = tmp_path / "digit_classifier.npz"
    assert (
        train_classifier.main(["--data=mnist", f"--out={file}", "--data_dir=there", "--seed=3", "--num_epochs=2"]) == 0
    )
    assert json.loads(capsys.readouterr().out) == {"num_epochs": 2, "seed": 3}
    assert asked == [("mnist", "train", "there"), ("mnist", "test", "there")]
    assert file.exists()
    assert train_classifier.main(["--data=cifar10", f"--out={file}"]) == 2
    assert capsys.readouterr().err.startswith("--data='cifar10': name mnist or fashion_mnist, or different sets with ")
    assert train_classifier.main(["--data=mnist", f"--out={file}", "--channels=1"]) == 2
    assert capsys.readouterr().err == "--channels is for several sets, and --data=mnist is one. Leave it out.\n"
    assert train_classifier.main(["--data=mnist", f"--out={tmp_path}"]) == 2
    assert capsys.readouterr().err == f"--out={tmp_path} is a folder. Give a file.\n"
    assert len(asked) == 2  # before the data are read
    monkeypatch.undo()
    assert train_classifier.main(["--data=mnist", f"--out={file}", f"--data_dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# The metrics


@pytest.fixture
def config(monkeypatch):
    """A config of stacked MNIST whose digits are synthetic and whose classifier is small."""
    spec = importlib.util.spec_from_file_location("stacked_mnist", ROOT / "configs" / "stacked_mnist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("bures")
    assert config.evaluation.num_samples == 26_000
    config.data.num_examples = 500
    config.evaluation.num_samples = 300
    monkeypatch.setattr("buresgan_jax.data.stacked.tfds_source", lambda name, **_: _digits(name=name))
    monkeypatch.setattr(
        classifier_training, "load_classifier", functools.partial(classifier.load_classifier, network=_SMALL)
    )
    return config


def test_real_stacks_reach_the_modes_of_their_labels(config, tmp_path, monkeypatch):
    trainings = []

    def train_on_tfds(name, *, data_dir):
        trainings.append((name, data_dir))
        return _trained()

    monkeypatch.setattr(classifier_training, "train_on_tfds", train_on_tfds)
    stacks = stacked_source(_digits(), num_examples=500, seed=config.seed)
    real = np.asarray(decode_images(stacks.fetch(np.arange(300))))
    collapsed = np.broadcast_to(real[:1], real.shape)

    def values_of(evaluators):
        return {name: entry["value"] for name, entry in evaluate(evaluators, lambda *, ema: real if ema else collapsed)}

    evaluators = builders.evaluators(config, workdir=tmp_path)
    assert trainings == []  # not before it is needed
    values = values_of(evaluators)
    num_modes = len(np.unique(stacks.labels(np.arange(300))))
    assert abs(values["ema_modes"] - num_modes) < 0.1 * num_modes
    assert values["modes"] == 1
    assert values["reverse_kl"] > values["ema_reverse_kl"]
    assert values["classifier_accuracy"] == _trained().metadata["test_accuracy"]
    assert values["ema_reverse_kl_floor"] == values["reverse_kl_floor"] > 0
    # From now on the file of the workdir serves; a path in the config comes before it.
    assert values_of(builders.evaluators(config, workdir=tmp_path)) == values
    config.evaluation.classifier = str(tmp_path / "shared.npz")
    (evaluator,) = builders.evaluators(config, workdir=tmp_path)
    evaluator(real[:2])
    assert trainings == [("mnist", None)] * 2
    assert (tmp_path / "shared.npz").exists()


def test_a_classifier_that_cannot_be_kept_is_used(tmp_path, caplog):
    (tmp_path / "file").touch()
    find = classifier_training.classifier_when_needed("mnist", tmp_path / "file" / "classifier.npz", _trained)
    assert find().metadata == find().metadata == _trained().metadata
    assert caplog.text.count("The classifier cannot be kept: ") == 1


def test_a_classifier_of_other_data_is_refused_before_training(config, tmp_path):
    classifier.save_classifier(_trained(), tmp_path / "digit_classifier.npz")
    config.data.base = "fashion_mnist"
    with pytest.raises(UserError, match="is for 'mnist', not for 'fashion_mnist'"):
        builders.evaluators(config, workdir=tmp_path)


# Joined sets


def _patterns(name, *, image_size=32, channels=3, split="train", **_):
    """Bright pictures with stripes: upright ones as cifar10, level ones as fashion_mnist; 700 of each."""
    assert split == "train"
    random = np.random.default_rng(len(name))
    stripes = (np.arange(image_size) * 8 // image_size + random.integers(2, size=(700, 1))) % 2
    images = np.broadcast_to(stripes[:, np.newaxis, :, np.newaxis], (700, image_size, image_size, channels))
    images = np.clip(200 * images + random.normal(20, 10, images.shape), 0, 255).astype(np.uint8)
    images = images.swapaxes(1, 2) if name == "fashion_mnist" else images
    labels = np.arange(700) % 10
    return Source(name, 700, images.shape[1:], images.__getitem__, decode_images, labels.__getitem__)


@pytest.fixture
def joined_config(monkeypatch):
    """A config of two sets of patterns, whose classifier is small."""
    monkeypatch.setattr(sys.modules["buresgan_jax.data.joined"], "tfds_source", _patterns)
    small = ImageClassifier(filters=(4, 8), hidden=64, num_classes=3, image_size=32)
    monkeypatch.setattr(classifier_training, "network_of_sets", lambda num_sets: small)
    train = functools.partial(classifier_training.train_classifier, learning_rate=1e-2)
    monkeypatch.setattr(classifier_training, "train_classifier", train)
    return load_config("cifar_fashion", "gan")


def test_the_classifier_of_joined_sets_finds_images_between_them(joined_config, tmp_path, capsys):
    file = tmp_path / "sets.npz"
    assert train_classifier.main(["--data=cifar10, fashion_mnist", f"--out={file}"]) == 0
    metadata = json.loads(capsys.readouterr().out)
    assert metadata["data_set"] == "cifar10,fashion_mnist"
    assert [metadata[f"num_{part}"] for part in ("train", "validation", "test")] == [2102, 233, 349]
    assert np.sum(metadata["test_confusion"], axis=1).tolist() == [116, 117, 116]
    assert metadata["test_accuracy"] > 0.9
    joined_config.data.image_size = 64
    joined_config.evaluation.classifier = str(file)
    (evaluator,) = builders.evaluators(joined_config, workdir=tmp_path)
    first, second = (
        np.asarray(decode_images(_patterns(name, image_size=64).fetch(np.arange(20))))
        for name in ("cifar10", "fashion_mnist")
    )
    darker = np.maximum(first * [0.9, 1, 0.8] - 0.1, -1)  # not between the sets
    found = {name: entry["value"] for name, entry in evaluator(np.concatenate([first, second, darker])).items()}
    assert found["unwanted_share"] < 0.1
    assert found["modes"] == 2
    found = {name: entry["value"] for name, entry in evaluator((first + second) / 2).items()}
    assert found["unwanted_share"] > 0.9


def test_images_that_test_a_classifier_of_sets_did_not_train_it(joined_config, monkeypatch):
    used = []

    def blended_source(source, indices, *, seed, varied=False):
        used.append((indices, varied))
        return data.blended_source(source, indices, seed=seed, varied=varied)

    def train_classifier(train, test, **_):
        return classifier.Classifier(None, None, {"test_accuracy": 1.0})

    monkeypatch.setattr(classifier_training, "blended_source", blended_source)
    monkeypatch.setattr(classifier_training, "train_classifier", train_classifier)
    classifier_training.train_on_joined("cifar10,fashion_mnist")
    (train, train_is_varied), (test, test_is_varied) = used
    assert (train_is_varied, test_is_varied) == (True, False)
    assert sorted([*train, *test]) == list(range(1400))


def test_a_run_on_joined_sets_trains_its_classifier_once(joined_config, tmp_path):
    (evaluator,) = builders.evaluators(joined_config, workdir=tmp_path)
    assert not (tmp_path / "set_classifier.npz").exists()
    dark = np.full((3, 32, 32, 3), -0.8, np.float32)
    once = evaluator(dark)
    changed = (tmp_path / "set_classifier.npz").stat().st_mtime_ns
    (evaluator,) = builders.evaluators(joined_config, workdir=tmp_path)
    assert evaluator(dark) == once
    assert (tmp_path / "set_classifier.npz").stat().st_mtime_ns == changed
    joined_config.data.channels = 1
    with pytest.raises(
        UserError, match=r"is for channels=3, not for 1. .* --channels=1 --image_size=32 --split=train "
    ):
        builders.evaluators(joined_config, workdir=tmp_path)


def test_runs_on_joined_sets_share_a_classifier_for_each_kind_of_image(joined_config, tmp_path, monkeypatch):
    trained = []

    def train_on_joined(sets, *, data_dir, **facts):
        trained.append((sets, facts))
        return _trained()

    monkeypatch.setattr(classifier_training, "train_on_joined", train_on_joined)
    shared = builders.shared_by_runs(joined_config, tmp_path)
    assert shared == {"evaluation.classifier": str(tmp_path / "classifier_cifar10,fashion_mnist_3_32_train.npz")}
    joined_config.data.num_per_set = 3  # the classifier has its own number
    joined_config.data.split = "test[:50%]"
    joined_config.data.image_size = 16
    other = builders.shared_by_runs(joined_config, tmp_path)["evaluation.classifier"]
    assert other == str(tmp_path / "classifier_cifar10,fashion_mnist_3_16_test%5B%3A50%25%5D.npz")
    facts = {"channels": 3, "image_size": 32, "split": "train"}
    assert trained[0] == ("cifar10,fashion_mnist", facts)
    assert trained[1][1] == facts | {"image_size": 16, "split": "test[:50%]"}


def test_sets_that_are_too_small_have_no_classifier_and_can_be_trained_on(joined_config, tmp_path, monkeypatch):
    def few(name, **options):
        return _patterns(name, **options)._replace(num_examples=599 if name == "fashion_mnist" else 700)

    monkeypatch.setattr(sys.modules["buresgan_jax.data.joined"], "tfds_source", few)
    message = "'fashion_mnist' has 599 images in 'train', too few .* It needs 600 of each set"
    with pytest.raises(UserError, match=message):
        classifier_training.train_on_joined("cifar10,fashion_mnist")
    assert builders.shared_by_runs(joined_config, tmp_path) == {}
    (evaluator,) = builders.evaluators(joined_config, workdir=tmp_path)
    found = evaluator(np.zeros((2, 32, 32, 3), np.float32))
    assert found["unwanted_share"]["value"] is None
    assert "too few" in found["unwanted_share"]["undefined"]
