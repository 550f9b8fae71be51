"""Metrics of two sets of images: order, batches and caches change nothing, collapse shows, mistakes are told."""

import hashlib
import importlib
import json

import numpy as np
import pytest
from PIL import Image

from buresgan_jax import build, data, features, image_metrics, image_summaries, metrics, statistics_cache
from buresgan_jax.image_metrics import Options

command = importlib.import_module("buresgan_jax.metrics.__main__")

PIXELS = features.pixels()
SOME = ("frechet_distance", "kernel_distance", "precision_recall", "sliced_wasserstein", "vendi_score")
OPTIONS = Options(subset_size=20)


def make_images(seed, num=48, size=16, channels=3):
    """Smooth pictures of random colours and slopes, so that few numbers describe them."""
    random = np.random.default_rng(seed)
    colour, slope = random.uniform(60, 190, (num, 1, 1, channels)), random.uniform(-60, 60, (num, 1, 1, channels))
    images = colour + slope * np.linspace(-1, 1, size)[:, None, None] + random.normal(0, 3, (num, size, size, channels))
    return np.clip(images, 0, 255).astype(np.uint8)


def compare(real, fake, names=SOME, made_by=PIXELS, **options):
    """`{name: value}` of lists of batches, or of arrays as one batch."""
    summaries = []
    for name, images, of_real in (("real", real, True), ("fake", fake, False)):
        batches = images if isinstance(images, list) else [images]
        parts = image_metrics.needed_parts(names, of_real=of_real)
        summaries.append(image_summaries.summarize(name, batches, parts, made_by, **options))
    entries = image_metrics.compare(names, *summaries, made_by, OPTIONS)
    return {name: entry["value"] for name, entry in entries.items()}


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-10, err_msg=name)


def test_pixel_features_are_means_over_fields():
    images = make_images(0, num=3, size=24)
    expected = images.reshape(3, 8, 3, 8, 3, 3).mean((2, 4)).reshape(3, -1) / 255
    found, logits = PIXELS.function(images)
    assert (found.dtype, found.shape, logits) == (np.float32, (3, PIXELS.dim), None)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    grey, _ = PIXELS.function(images[..., :1])
    np.testing.assert_allclose(grey.reshape(3, 64, 3)[..., 2], expected.reshape(3, 64, 3)[..., 0], rtol=1e-5)
    flat, _ = PIXELS.function(np.full((1, 11, 5, 3), 51, np.uint8))  # fields that cut through pixels, and repeat them
    np.testing.assert_allclose(flat, np.full((1, 192), 0.2), rtol=1e-5)


def test_numbers_are_those_of_the_metrics_and_say_how_they_were_made():
    real, fake = make_images(1), make_images(2, num=30)
    features = [PIXELS.function(images)[0] for images in (real, fake)]
    found = compare(real, fake)
    assert found["frechet_distance_pixels"] == pytest.approx(metrics.frechet_distance(*features), rel=1e-9)
    some = compare(fake, real[:30])["recall_pixels"]
    assert some == metrics.precision_recall(features[1], features[0][:30]).recall
    assert found["vendi_score_pixels"] == pytest.approx(metrics.vendi_score(features[1]), rel=1e-9)
    summaries = [
        image_summaries.summarize(name, [images], ("features", "moments"), PIXELS._replace(sha256="ab" * 32))
        for name, images in (("mnist:test", real), ("samples", fake))
    ]
    canonical = PIXELS._replace(is_canonical=True, sha256="ab" * 32)
    entries = image_metrics.compare(("kernel_distance",), *summaries, canonical, OPTIONS)
    assert entries["kid"].pop("value") == pytest.approx(found["kernel_distance_pixels"])
    assert entries["kid"].pop("standard_error") * 10 == pytest.approx(entries["kid"].pop("std"))
    facts = {"n_real": 48, "n_fake": 30, "real": "mnist:test", "fake": "samples", "seed": 0, "subset_size": 20}
    facts |= {"num_subsets": 100, "image_shape": [16, 16, 3]}
    facts |= {"extractor": "pixels", "resizer": "area to 8x8", "weights_sha256": "ab" * 32}
    assert entries["kid"] == facts
    recall = image_metrics.compare(("precision_recall",), *summaries, PIXELS, OPTIONS)["recall_pixels"]
    assert (recall["n_real"], recall["n_fake"]) == (30, 30)  # as many of both


def test_the_inception_score_is_of_the_logits_of_the_generated_set_alone():
    def function(images):
        features, _ = PIXELS.function(images)
        return features, 20 * features[:, :5]

    made_by = PIXELS._replace(function=function, name="five")
    names, options, images = ("inception_score", "inception_variance"), Options(num_splits=3), make_images(2)
    image_metrics.check(names, made_by, options, num_real=None, num_fake=48, image_shape=(16, 16, 3))
    assert image_metrics.needed_parts(names, of_real=True) == ()
    fake = image_summaries.summarize("fake", [images[:9], images[9:]], ("logits",), made_by)
    entries = image_metrics.compare(names, None, fake, made_by, options)
    entry, variance = entries["inception_score_five"], entries["inception_variance_five"]
    assert sorted(fake.parts["logits"].tolist()) == sorted(function(images)[1].tolist())
    expected = metrics.inception_score(fake.parts["logits"], num_splits=3, shuffle_seed=0)
    assert (entry["value"], entry["std"], entry["num_splits"]) == (expected.mean, expected.std, 3)
    assert variance["value"] == metrics.inception_variance(fake.parts["logits"], num_splits=3).mean
    assert (entry["n_real"], entry["real"], entry["n_fake"]) == (None, None, 48)
    names = ("inception_score", "frechet_distance")
    canonical = image_metrics.larger_is_better(names, made_by._replace(is_canonical=True))
    assert canonical == {"inception_score": True, "fid": False}


def test_bins_and_both_protocols_of_patches():
    names = ("different_bins", "sliced_wasserstein", "sliced_wasserstein_progan")
    real, fake = make_images(1, num=120), make_images(2, num=100)
    found = compare(real, fake, names)
    by_content = sorted(real, key=lambda image: hashlib.sha256(image.tobytes()).digest())
    fake = np.array(sorted(fake, key=lambda image: hashlib.sha256(image.tobytes()).digest()))
    for variant, name in (("bures_gan", names[1]), ("progan", names[2])):
        expected = metrics.sliced_wasserstein(np.array(by_content[:100]), fake, variant=variant).mean
        assert found[name] == pytest.approx(expected)
    features = [PIXELS.function(images)[0] for images in (np.array(by_content), fake)]
    expected = metrics.number_of_different_bins(*features, seed=0)
    assert found["share_of_different_bins_pixels"] == expected.share
    assert found["js_divergence_of_bins_pixels"] == pytest.approx(expected.js_divergence)


def test_the_names_of_the_canonical_network_are_understood_with_it():
    assert build.image_metric_names("fid, kid,fid,", "inception_v3") == ("frechet_distance", "kernel_distance")


def test_a_set_against_itself_is_perfect():
    real = make_images(3)
    found = compare(real, real[::-1])
    for name in ("frechet_distance_pixels", "sliced_wasserstein"):
        assert found[name] == pytest.approx(0, abs=1e-12)
    assert found["kernel_distance_pixels"] <= 0  # an estimate without bias of zero
    assert [found[f"{name}_pixels"] for name in ("precision", "recall", "coverage")] == [1, 1, 1]


def test_a_collapsed_set_is_precise_and_recalls_nothing():
    real = make_images(4)
    collapsed = np.clip(real[:1] + np.random.default_rng(0).integers(-2, 3, real.shape), 0, 255).astype(np.uint8)
    found, good = compare(real, collapsed), compare(real, make_images(5))
    assert found["precision_pixels"] > 0.95
    assert found["recall_pixels"] < 0.05 < 0.5 < good["recall_pixels"]
    assert found["vendi_score_pixels"] < 1.01 < good["vendi_score_pixels"]


def test_what_is_undefined_says_why_and_costs_no_other_number():
    black = np.zeros((30, 16, 16, 3), np.uint8)
    sets = [
        image_summaries.summarize("set", [images], ("moments", "unit_moments"), PIXELS)
        for images in (make_images(3), black)
    ]
    entries = image_metrics.compare(("frechet_distance", "vendi_score"), *sets, PIXELS, OPTIONS)
    assert entries["frechet_distance_pixels"]["value"] > 0
    assert entries["vendi_score_pixels"]["value"] is None
    *_, last = image_metrics.table(entries).splitlines()
    assert last.startswith("| vendi_score_pixels | - |")
    assert entries["vendi_score_pixels"]["undefined"] in last


def test_order_and_batches_change_nothing():
    real, fake = make_images(6), make_images(7)
    expected = compare(real, fake)
    shuffled = [np.random.default_rng(seed).permutation(images) for seed, images in enumerate((real, fake))]
    assert_close(compare(*shuffled), expected)
    assert_close(compare(np.split(real, [1, 20]), np.split(shuffled[1], [30])), expected)


def test_kept_statistics_are_found_by_content_and_only_then(tmp_path, caplog):
    real = make_images(8)
    looked_at = []

    def features(images):
        looked_at.append(len(images))
        return PIXELS.function(images)

    def summarize(images, sha256="of the weights"):
        made_by = PIXELS._replace(function=features, sha256=sha256)
        looked_at.clear()
        parts = ("features", "images", "moments")
        return image_summaries.summarize("real", [images], parts, made_by, cache=tmp_path)

    first = summarize(real)
    assert looked_at == [48]
    second = summarize(real[::-1])
    assert (looked_at, second.fingerprint) == ([], first.fingerprint)
    np.testing.assert_array_equal(second.parts["features"], first.parts["features"])
    np.testing.assert_array_equal(second.parts["moments"].cov, first.parts["moments"].cov)
    np.testing.assert_array_equal(second.parts["images"], first.parts["images"])
    changed = real.copy()
    changed[5, 3, 3, 0] ^= 1
    assert summarize(changed).fingerprint != first.fingerprint
    assert looked_at == [48]
    summarize(real, sha256="of other weights")
    assert looked_at == [48]
    known = PIXELS._replace(sha256="of the weights")
    for _ in range(2):
        assert_close(compare(real, make_images(9), made_by=known, cache=tmp_path), compare(real, make_images(9)))
    files = set(tmp_path.iterdir())
    for _ in range(2):
        summarize(real, sha256=None)
        assert looked_at == [48]  # it may be another function next time
    assert set(tmp_path.iterdir()) == files
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    np.testing.assert_array_equal(summarize(real).parts["features"], first.parts["features"])
    assert looked_at == [48]
    assert "Cannot read cached statistics" in caplog.text


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    made_by = PIXELS._replace(sha256="of the weights")
    found = image_summaries.summarize("real", [make_images(8)], ("moments",), made_by, cache=tmp_path / "file" / "x")
    assert found.parts["moments"].num_samples == 48
    assert "Cannot keep statistics in" in caplog.text


def test_sets_that_cannot_be_compared_are_refused():
    real = make_images(1)
    with pytest.raises(ValueError, match=r"real must have images of one shape, got \(16, 16, 3\) and \(8, 8, 3\)"):
        compare([real, make_images(1, size=8)], real)
    with pytest.raises(ValueError, match=r"one height, width and number of channels, got \(16, 16, 3\) \(real\) and"):
        compare(real, make_images(1, channels=1))
    with pytest.raises(ValueError, match="fake must be uint8 images"):
        compare(real, real / 255)
    with pytest.raises(ValueError, match="real has no images"):
        compare([], real)


# The command line


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """The command in this process: status, standard output, standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))

    def run(*arguments):
        capfd.readouterr()
        try:
            status = command.main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code
        return (status, *capfd.readouterr())

    return run


@pytest.fixture
def places(tmp_path):
    """A folder of pictures and an `.npz` file with some of them."""
    images = make_images(10)
    (tmp_path / "folder" / "class").mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "folder" / "class" / f"{number:02d}.png")
    np.savez(tmp_path / "some.npz", samples=images[:30])
    return tmp_path / "folder", tmp_path / "some.npz"


def test_the_command_writes_a_table_and_every_fact(run, places, tmp_path):
    folder, file = places
    options = ("--metrics=frechet_distance,kernel_distance", "--subset_size=20", f"--out={tmp_path / 'x.json'}")
    status, out, err = run(f"--real={folder}", f"--fake={file}", *options)
    assert (status, err) == (0, "")
    entries = json.loads((tmp_path / "x.json").read_text())
    value = entries["frechet_distance_pixels"]["value"]
    images = np.load(file)["samples"], make_images(10)
    assert value == pytest.approx(metrics.frechet_distance(*(PIXELS.function(each)[0] for each in images)))
    assert f"| frechet_distance_pixels | {value:.6g} | - | - | 48 | 30 | pixels (area to 8x8) |" in out.splitlines()
    assert entries["kernel_distance_pixels"].keys() >= {"standard_error", "weights_sha256", "resizer", "seed", "real"}
    assert not (tmp_path / "caches").exists()  # these features cost nothing
    np.savez(tmp_path / "floating.npz", samples=images[0] / 127.5 - 1)
    assert run(f"--real={folder}", f"--fake={tmp_path / 'floating.npz'}", *options)[:2] == (0, out)


def test_the_command_finds_what_it_kept_of_the_real_set(run, places, tmp_path, monkeypatch):
    monkeypatch.setitem(build.EXTRACTORS, "pixels", lambda: PIXELS._replace(sha256="ab" * 32))
    flags = [f"--real={places[0]}", f"--fake={places[1]}", "--metrics=frechet_distance,kernel_distance"]
    flags.append("--subset_size=20")
    status, out, _ = run(*flags)
    kept = sorted((tmp_path / "caches" / "buresgan_jax" / "statistics").iterdir())
    times = [path.stat().st_mtime_ns for path in kept]
    assert (status, len(kept)) == (0, 2)
    assert run(*flags)[:2] == (0, out)
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_a_part_is_drawn_by_the_seed(places):
    source = data.image_set(str(places[0]))
    parts = [np.concatenate(list(data.ImageBatches(source, num=9, seed=seed, batch_size=4))) for seed in (0, 0, 1)]
    assert len(data.ImageBatches(source, num=9, batch_size=4)) == 3
    np.testing.assert_array_equal(parts[0], parts[1])
    assert not np.array_equal(parts[0], parts[2])
    assert {image.tobytes() for image in parts[0]} < {image.tobytes() for image in make_images(10)}


MISTAKES = {
    "metric": (["--metrics=kernel_distanse"], "Unknown metric 'kernel_distanse'. Did you mean 'kernel_distance'?"),
    "fid": (
        ["--metrics=fid"],
        "'fid' is what 'frechet_distance' is called on the canonical Inception-v3, and the extr",
    ),
    "resizer": (["--resizer=clean"], "The extractor 'pixels' takes means over fields, got resizer 'clean'."),
    "none": (["--metrics="], "--metrics is empty."),
    "extractor": (["--extractor=pixles"], "Unknown extractor 'pixles'. Did you mean 'pixels'?"),
    "weights": (["--weights=x.npz"], "The extractor 'pixels' has no weights, got 'x.npz'."),
    "missing": (["--real=none"], "Folder 'none' does not exist."),
    "missing file": (["--real=none.npz"], "Cannot read none.npz: "),
    "split": (["--real=tfds:mnist"], "'tfds:mnist' names no split. Write tfds:NAME:SPLIT"),
    "set": (["--real=tfds:minst:test"], "Unknown image set 'minst'. Did you mean 'mnist'?"),
    "few": (
        ["--metrics=kernel_distance"],
        "kernel_distance: real has too few samples: this metric needs at least 1000",
    ),
    "logits": (["--metrics=inception_score"], "inception_score: it needs class logits, and the extractor 'pixels'"),
    "small": (["--metrics=ms_ssim"], "ms_ssim: it needs images of at least 176x176 pixels, got 16x16."),
    "channels": (["--channels=1"], "one height, width and number of channels, got (16, 16, 1) ("),
    "num": (["--num=31"], "has 30 images, 31 are wanted. Ask for fewer."),
    "zero": (["--num=0"], "argument --num: it must be a whole number of at least 1, got 0."),
    "out": (["--out=/none/x.json"], "The folder of --out=/none/x.json does not exist."),
    "flag": (["--metric=x"], "unrecognized arguments: --metric=x."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(run, places, name):
    arguments, message = MISTAKES[name]
    status, out, err = run(f"--real={places[0]}", f"--fake={places[1]}", "--metrics=frechet_distance", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


SAMPLES = {
    "NaN": (np.full((3, 8, 8, 3), np.nan), "3 of 3 images hold NaN or infinity."),
    "range": (np.full((3, 8, 8, 3), 7.0), "must lie within [-1, 1], got values from 7 to 7."),
    "dtype": (np.zeros((3, 8, 8, 3), int), "samples must be uint8, or floating within [-1, 1], got int64."),
    "shape": (np.zeros((3, 2), np.float32), "samples must be images [n, height, width, 1 or 3], got shape (3, 2)."),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_arrays_that_are_no_images_are_told(run, places, tmp_path, name):
    samples, message = SAMPLES[name]
    np.savez(tmp_path / "bad.npz", samples=samples)
    status, out, err = run(f"--real={places[0]}", f"--fake={tmp_path / 'bad.npz'}", "--metrics=frechet_distance")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_files_that_hold_no_samples_are_told(run, places, tmp_path):
    np.savez(tmp_path / "bad.npz", images=np.zeros(3))
    metric = "--metrics=frechet_distance"
    assert "has no array 'samples'." in run(f"--real={places[0]}", f"--fake={tmp_path / 'bad.npz'}", metric)[2]
    (tmp_path / "bad.npz").write_bytes(b"damaged")
    assert "Cannot read " in run(f"--real={places[0]}", f"--fake={tmp_path / 'bad.npz'}", metric)[2]


def test_pictures_of_several_sizes_need_a_size(run, places):
    Image.fromarray(make_images(0, num=1, size=20)[0]).save(places[0] / "larger.png")
    flags = [f"--real={places[0]}", f"--fake={places[1]}", "--metrics=frechet_distance"]
    status, _, err = run(*flags)
    assert status == 2
    assert "are not squares of one size, but 16x16, 20x20. Give an image size in pixels" in err
    assert run(*flags, "--image_size=16")[0] == 0


def test_folders_of_grey_pictures_have_one_channel(tmp_path):
    Image.fromarray(make_images(0, num=1)[0, ..., 0]).save(tmp_path / "grey.png")
    assert data.image_set(str(tmp_path)).example_shape == (16, 16, 1)
    assert data.image_set(str(tmp_path), channels=3).example_shape == (16, 16, 3)


def test_the_cache_lies_where_caches_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert statistics_cache.default_folder() == tmp_path / "buresgan_jax" / "statistics"
