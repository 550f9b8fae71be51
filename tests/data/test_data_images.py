import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers import load_config
from PIL import Image

from buresgan_jax import builders, data
from buresgan_jax.data import IMAGE_SETS, image_set, stacked_source, tfds_source
from buresgan_jax.errors import UserError

PREPARED = Path(__file__).parents[3] / "shared" / "data" / "tfds"
needs_prepared = pytest.mark.skipif(not PREPARED.exists(), reason="needs the prepared sets in ../shared/data/tfds")


def _pixels(name, index):
    """What picture `index` of the stand-in for a set looks like; 50x40 where the set allows any size."""
    height, width, channels = tfds.builder_cls(name)(data_dir="unused").info.features["image"].shape
    return np.random.default_rng(index).integers(0, 256, (height or 50, width or 40, channels), np.uint8)


def _zeros(feature):
    """An example of a feature, as TFDS wants it, with nothing in it."""
    if isinstance(feature, tfds.features.FeaturesDict):
        return {name: _zeros(part) for name, part in feature.items()}
    return "" if isinstance(feature, tfds.features.Text) else feature.np_dtype(0)


def _prepare_stand_in(name, data_dir, *splits):
    """Lets the real builder write 12 random pictures per split: no download, and no TensorFlow."""
    builder = tfds.builder_cls(name)(data_dir=data_dir, file_format="array_record")
    features = builder.info.features

    def generate(offset):
        for index in range(offset, offset + 12):
            example = _zeros(features) | {"image": Image.fromarray(_pixels(name, index))}
            yield index, example | ({"label": index % 10} if "label" in features else {})

    builder._split_generators = lambda _: {split: generate(100 * number) for number, split in enumerate(splits)}
    builder.download_and_prepare()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Stand-ins."""
    folder = tmp_path_factory.mktemp("tfds")
    _prepare_stand_in("cifar10", folder, "train", "test")
    _prepare_stand_in("stl10", folder, "train", "unlabelled")
    _prepare_stand_in("celeb_a", folder, "train")
    _prepare_stand_in("oxford_flowers102", folder, "train")
    return str(folder)


def _all(source):
    return source.fetch(np.arange(source.num_examples))


@pytest.mark.parametrize("in_memory", [True, False])
def test_pictures_and_labels_belong_together(data_dir, in_memory):
    source = tfds_source("cifar10", data_dir=data_dir, in_memory=in_memory)
    assert (source.num_examples, source.example_shape, source.num_classes) == (12, (32, 32, 3), 10)
    pictures, labels = _all(source), source.labels(np.arange(12))
    assert pictures.dtype == np.uint8
    assert labels.dtype == np.int64
    expected = {_pixels("cifar10", index).tobytes(): index % 10 for index in range(12)}
    assert [expected.pop(picture.tobytes()) for picture in pictures] == labels.tolist()
    np.testing.assert_array_equal(source.fetch(np.array([5, 5, 0])), pictures[[5, 5, 0]])


def test_a_prepared_set_is_known_by_its_version_and_sizes(data_dir):
    config = load_config("stl10", "gan")
    config.data.data_dir = data_dir
    found = builders.data_fingerprint(config)
    assert found.startswith("stl10/1.0.0, 12 pictures in unlabelled, ")
    config.data.split = "train[:5]"
    assert " 5 pictures in train[:5], " in builders.data_fingerprint(config)
    assert builders.data_places(config) == {"data.data_dir"}


def test_splits_are_told_apart(data_dir):
    test_set = tfds_source("cifar10", data_dir=data_dir, split="test")
    expected = {_pixels("cifar10", index).tobytes() for index in range(100, 112)}
    assert {picture.tobytes() for picture in _all(test_set)} == expected
    assert tfds_source("cifar10", data_dir=data_dir, split="train[:5]").num_examples == 5


def test_stl_unlabelled_has_no_labels_and_is_resized_by_lanczos(data_dir):
    assert tfds_source("stl10", data_dir=data_dir).labels is not None
    original, small = (tfds_source("stl10", data_dir=data_dir, split="unlabelled", image_size=s) for s in (None, 48))
    assert original.labels is original.num_classes is None
    assert (original.example_shape, small.example_shape) == ((96, 96, 3), (48, 48, 3))
    expected = Image.fromarray(_all(original)[3]).resize((48, 48), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(_all(small)[3], np.asarray(expected))


def test_celeb_a_is_cut_from_the_center_and_resized(data_dir):
    source = tfds_source("celeb_a", data_dir=data_dir)
    assert source.example_shape == (64, 64, 3)
    assert source.labels is None
    records = tfds.builder("celeb_a", data_dir=data_dir).as_data_source("train")  # JPEG is lossy
    originals = [Image.fromarray(record["image"]) for record in records]
    expected = [original.resize((64, 64), Image.Resampling.LANCZOS, box=(35, 55, 143, 163)) for original in originals]
    np.testing.assert_array_equal(_all(source), [np.asarray(image) for image in expected])
    largest = tfds_source("celeb_a", data_dir=data_dir, image_size=178, crop="center")
    np.testing.assert_array_equal(_all(largest), [np.asarray(image)[20:198] for image in originals])


def test_any_set_of_tfds_is_cut_and_resized(data_dir):
    color = tfds_source("oxford_flowers102", data_dir=data_dir, image_size=20)
    records = tfds.builder("oxford_flowers102", data_dir=data_dir).as_data_source("train")
    assert [record["label"] for record in records] == color.labels(np.arange(12)).tolist()
    expected = [
        Image.fromarray(record["image"]).resize((20, 20), Image.Resampling.LANCZOS, box=(0, 5, 40, 45))
        for record in records
    ]
    np.testing.assert_array_equal(_all(color), [np.asarray(image) for image in expected])
    gray = tfds_source("oxford_flowers102", data_dir=data_dir, image_size=20, channels=1)
    assert _all(gray).shape == (12, 20, 20, 1)
    with pytest.raises(UserError, match=r"'oxford_flowers102' are not all squares of one size. Set image_size"):
        tfds_source("oxford_flowers102", data_dir=data_dir)


def _prepare_own_set(data_dir, features, examples):
    """A set `own` whose builder is not at hand when it is read."""
    with tfds.core.registered.skip_registration():

        class Own(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, _):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                yield from enumerate(examples)

    Own(data_dir=data_dir, file_format="array_record").download_and_prepare()


def test_config_for_any_set_of_tfds(data_dir):
    settings = load_config("tfds", "bures")
    settings.data.update({"base": "oxford_flowers102", "data_dir": data_dir, "image_size": 20, "channels": 1})
    expected = tfds_source("oxford_flowers102", data_dir=data_dir, image_size=20, channels=1)
    np.testing.assert_array_equal(_all(builders.source(settings)), _all(expected))
    settings.data.crop = "none"
    squeezed = tfds_source("oxford_flowers102", data_dir=data_dir, image_size=20, channels=1, crop="none")
    np.testing.assert_array_equal(_all(builders.source(settings)), _all(squeezed))
    assert not np.array_equal(_all(squeezed), _all(expected))
    settings.data.update({"base": "celeb_a", "image_size": 64, "channels": 3, "crop": "center"})
    np.testing.assert_array_equal(_all(builders.source(settings)), _all(tfds_source("celeb_a", data_dir=data_dir)))
    settings.data.crop = "108"
    np.testing.assert_array_equal(_all(builders.source(settings)), _all(tfds_source("celeb_a", data_dir=data_dir)))


def test_named_sets_have_the_shape_that_their_config_asks_for(data_dir):
    settings = load_config("cifar", "bures")
    settings.data.data_dir = data_dir
    np.testing.assert_array_equal(_all(builders.source(settings)), _all(tfds_source("cifar10", data_dir=data_dir)))
    assert builders.source(settings).num_classes == builders.describe(settings).num_classes == 10
    settings.data.update({"image_size": 16, "channels": 1})
    assert _all(builders.source(settings)).shape == (12, 16, 16, 1)
    faces = data.celeb_a(seed=0, data_dir=data_dir)  # without a config: the set's own size
    np.testing.assert_array_equal(_all(faces), _all(tfds_source("celeb_a", data_dir=data_dir)))


def test_set_by_name_is_brought_to_size_and_channels(data_dir):
    place = "tfds:oxford_flowers102:train"
    assert image_set(place, image_size=20, channels=1, data_dir=data_dir).example_shape == (20, 20, 1)


def test_own_set_that_tfds_does_not_know(tmp_path):
    feature = tfds.features.Image(shape=(8, 8, 1))
    gray = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in range(3)]
    examples = [{"mask": io.BytesIO(b"never decoded"), "image": image} for image in gray]
    _prepare_own_set(tmp_path, {"mask": feature, "image": feature}, examples)
    source = tfds_source("own", data_dir=str(tmp_path))
    assert (source.num_examples, source.example_shape, source.labels) == (3, (8, 8, 1), None)
    assert sorted(_all(source)[:, 0, 0, 0].tolist()) == [0, 1, 2]


def test_broken_picture_is_told(tmp_path):
    _prepare_own_set(tmp_path, {"photo": tfds.features.Image(shape=(8, 8, 3))}, [{"photo": io.BytesIO(b"none")}])
    with pytest.raises(UserError, match="Cannot read picture 0 of 'own': cannot identify image"):
        _all(tfds_source("own", data_dir=str(tmp_path)))


def test_pictures_of_floats_are_refused(tmp_path):
    """TFDS stores them as pictures with four channels of 8 bits."""
    picture = Image.fromarray(np.zeros((8, 8), np.uint8))
    _prepare_own_set(tmp_path, {"image": tfds.features.Image(shape=(8, 8, 1))}, [{"image": picture}])
    (file,) = tmp_path.glob("own/*/features.json")
    file.write_text(file.read_text().replace('"uint8"', '"float32"'))
    with pytest.raises(UserError, match=r"'own' has no feature 'image' of 8 or 16 bits"):
        tfds_source("own", data_dir=str(tmp_path))


def test_set_without_pictures_is_refused(tmp_path):
    _prepare_own_set(tmp_path, {"a": tfds.features.Scalar(np.int64), "b": tfds.features.Text()}, [{"a": 1, "b": ""}])
    with pytest.raises(UserError, match=r"'own' has no feature 'image' .*only: a, b\."):
        tfds_source("own", data_dir=str(tmp_path))


def test_memory_limit_only_changes_when_pictures_are_decoded(data_dir, monkeypatch):
    warnings = []
    monkeypatch.setattr("absl.logging.warning", lambda text, *arguments: warnings.append(text % arguments))
    lazy = tfds_source("cifar10", data_dir=data_dir, memory_limit_bytes=1000)
    assert "cifar10 needs 0.0 GB decoded" in warnings[0]
    np.testing.assert_array_equal(_all(lazy), _all(tfds_source("cifar10", data_dir=data_dir)))


@pytest.mark.parametrize("data_dir_given", [True, False])
def test_unprepared_set_is_refused_with_the_command(tmp_path, monkeypatch, data_dir_given):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError) as error:
        tfds_source("cifar10", data_dir=str(tmp_path / "a folder") if data_dir_given else None)
    message = str(error.value)
    assert message.startswith("'cifar10' is not prepared in ")
    command = "Run: python -m buresgan_jax.prepare cifar10"
    assert message.endswith(f"{command} --data_dir='{tmp_path}/a folder'" if data_dir_given else command)
    assert "\n" not in message


def test_unknown_names_and_splits_are_refused(data_dir):
    with pytest.raises(
        UserError, match=r"'cifar_10'\. Did you mean 'cifar10'\? Use one of: mnist, .*celeb_a; another TFDS data set"
    ):
        tfds_source("cifar_10", data_dir=data_dir)
    with pytest.raises(UserError, match=r"'imagenet'\. Did you mean 'imagenet\w+'\? Use one of"):
        tfds_source("imagenet", data_dir=data_dir)
    with pytest.raises(UserError, match=r"'lsun/bedrom'\. Did you mean 'lsun/bedroom'\?"):
        tfds_source("lsun/bedrom", data_dir=data_dir)
    with pytest.raises(UserError, match=r"'cifar10:9\.9\.9'\. TFDS says: .*version"):
        tfds_source("cifar10:9.9.9", data_dir=data_dir)
    with pytest.raises(UserError, match=rf"'own'\. .*or one that is prepared in {data_dir} \(data_dir\)\."):
        tfds_source("own", data_dir=data_dir)
    for split in (
        "tran",
        "train[:x]",
        "train[:0]",
        "",
        "train[5:3]",
        "train[99:]",
        "train[-1:0]",
        "train[:-99]",
        "test+",
        "train[200%:]",
    ):
        with pytest.raises(UserError, match=r"Cannot read split .* of 'cifar10'\. Use one of: .*train") as error:
            tfds_source("cifar10", data_dir=data_dir, split=split)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"image_size": 0}, "image_size 0"), ({"crop": "top"}, "crop 'top'"), ({"resize": "area"}, "resize 'area'")],
)
def test_arguments_out_of_range_are_refused(data_dir, options, match):
    with pytest.raises(UserError, match=match):
        tfds_source("cifar10", data_dir=data_dir, **options)


def test_crop_larger_than_the_pictures_is_refused(data_dir):
    with pytest.raises(UserError, match="33x33 pixels out of a picture of 32x32"):
        _all(tfds_source("cifar10", data_dir=data_dir, crop=33))


def _damage(path, how):
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[10_000:10_300] = b"\xff" * 300
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["missing", "truncated", "overwritten"])
def test_damaged_data_are_refused(data_dir, tmp_path, how):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("cifar10/*/cifar10-train.array_record*")
    _damage(path, how)
    with pytest.raises(
        UserError, match=r"damaged .*Remove that folder and run: python -m buresgan_jax.prepare cifar10"
    ):
        _all(tfds_source("cifar10", data_dir=str(tmp_path)))


@pytest.mark.parametrize("name", ["cifar10", "mine"])  # TFDS knows only the first
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"{}", b"\x80", b"[" * 100_000])
def test_damaged_information_is_told(data_dir, tmp_path, name, content):
    (old,) = Path(data_dir).glob("cifar10/*")
    new = tmp_path / name / old.name
    new.mkdir(parents=True)
    for path in old.iterdir():
        text = path.read_bytes()
        if path.suffix == ".json":
            text = text.replace(b'"cifar10"', f'"{name}"'.encode())
        (new / path.name.replace("cifar10", name)).write_bytes(text)
    assert tfds_source(name, data_dir=str(tmp_path)).num_examples == 12
    (new / "dataset_info.json").write_bytes(content)
    fix = "Remove that folder and run: python -m buresgan_jax.prepare cifar10" if name == "cifar10" else "Restore it."
    with pytest.raises(UserError, match=rf"^'{name}' in .* is damaged: its dataset_info.json .* cannot.*\. {fix}"):
        tfds_source(name, data_dir=str(tmp_path))


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ConnectionError("No network.")])
def test_data_that_cannot_be_reached_are_not_called_damaged(monkeypatch, tmp_path, error, wrap):
    def fail(*_, **__):
        if wrap:
            raise RuntimeError("Failed to construct the dataset") from error
        raise error

    monkeypatch.setattr(tfds, "builder", fail)
    match = rf"^'cifar10' in {tmp_path} cannot be read: {str(error.strerror or 'No network')}\. Fix the permissions"
    with pytest.raises(UserError, match=match) as raised:
        tfds_source("cifar10", data_dir=str(tmp_path))
    assert "Remove" not in str(raised.value)


def test_other_file_formats_are_refused(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("cifar10/*/dataset_info.json")
    path.write_text(path.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(UserError, match=r"prepared as tfrecord.*array_record is needed.*--data_dir=FOLDER"):
        tfds_source("cifar10", data_dir=str(tmp_path))


def test_reading_does_not_import_tensorflow(data_dir):
    program = (
        "import sys, numpy, buresgan_jax.data as data; "
        f"data.tfds_source('cifar10', data_dir={data_dir!r}).fetch(numpy.arange(3)); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_importing_the_data_package_does_not_import_tfds():
    program = "import sys, buresgan_jax.data; sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_offered_set_is_known_to_tfds():
    gray, small, large = (28, 28, 1), (32, 32, 3), (96, 96, 3)
    shapes = {"mnist": gray, "fashion_mnist": gray, "cifar10": small, "cifar100": small, "stl10": large}
    assert set(IMAGE_SETS) == {*shapes, "celeb_a"}
    for name, shape in shapes.items():
        features = tfds.builder_cls(name)(data_dir="unused").info.features
        assert features["image"].shape == shape
        assert isinstance(features["label"], tfds.features.ClassLabel)


@needs_prepared
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_sets_are_read(name):
    source = tfds_source(name, data_dir=str(PREPARED), split="test")
    assert (source.num_examples, source.example_shape) == (10_000, (28, 28, 1))
    pictures, labels = source.fetch(np.arange(2000)), source.labels(np.arange(2000))
    assert pictures.shape == (2000, 28, 28, 1)
    assert abs(pictures.mean() - {"mnist": 33.8, "fashion_mnist": 73.1}[name]) < 2
    assert np.bincount(labels, minlength=10).min() > 150


@needs_prepared
def test_real_digits_are_stacked():
    digits = tfds_source("mnist", data_dir=str(PREPARED))
    stacked = stacked_source(digits, seed=0)
    indices = np.array([0, 127_999])
    pictures, labels = stacked.fetch(indices), stacked.labels(indices)
    assert pictures.shape == (2, 28, 28, 3)
    assert np.all(pictures.reshape(2, -1, 3).max(axis=1) > 200)  # a digit in every channel
    assert np.all((labels >= 0) & (labels < 1000))
