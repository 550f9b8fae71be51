"""Metrics of two sets of images: order, batches and caches change nothing, collapse shows, errors are reported."""

import hashlib

import numpy as np
import pytest
from helpers import make_images

from buresgan_jax import extractors, metrics
from buresgan_jax.evaluation import image_metrics, statistics_cache, summaries, tables

PIXELS = extractors.pixels()
SOME = ("frechet_distance", "kernel_distance", "precision_recall", "sliced_wasserstein", "vendi_score")
OPTIONS = {"subset_size": 20}
VARIANCES = {"inception_variance": "code", "inception_variance_paper": "paper"}


def compare(real, fake, names=SOME, made_by=PIXELS, **options):
    """`{name: value}` of lists of batches, or of arrays as one batch."""
    sets = []
    for name, images, of_real in (("real", real, True), ("fake", fake, False)):
        batches = images if isinstance(images, list) else [images]
        parts = image_metrics.needed_parts(names, of_real=of_real)
        sets.append(summaries.summarize(name, batches, parts, made_by, **options))
    entries = image_metrics.compare(names, *sets, made_by, OPTIONS)
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
    gray, _ = PIXELS.function(images[..., :1])
    np.testing.assert_allclose(gray.reshape(3, 64, 3)[..., 2], expected.reshape(3, 64, 3)[..., 0], rtol=1e-5)
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
    sets = [
        summaries.summarize(name, [images], ("features", "moments"), PIXELS._replace(sha256="ab" * 32))
        for name, images in (("mnist:test", real), ("samples", fake))
    ]
    canonical = PIXELS._replace(is_canonical=True, sha256="ab" * 32)
    entries = image_metrics.compare(("kernel_distance",), *sets, canonical, OPTIONS)
    assert entries["kid"].pop("value") == pytest.approx(found["kernel_distance_pixels"])
    assert entries["kid"].pop("standard_error") * 10 == pytest.approx(entries["kid"].pop("std"))
    facts = {"n_real": 48, "n_fake": 30, "real": "mnist:test", "fake": "samples", "seed": 0, "subset_size": 20}
    facts |= {"num_subsets": 100, "image_shape": [16, 16, 3]}
    facts |= {"extractor": "pixels", "resizer": "area to 8x8", "weights_sha256": "ab" * 32}
    assert entries["kid"] == facts
    recall = image_metrics.compare(("precision_recall",), *sets, PIXELS, OPTIONS)["recall_pixels"]
    assert (recall["n_real"], recall["n_fake"]) == (30, 30)  # as many of both


def test_the_inception_score_is_of_the_logits_of_the_generated_set_alone():
    def function(images):
        features, _ = PIXELS.function(images)
        return features, 20 * features[:, :5]

    made_by = PIXELS._replace(function=function, name="five")
    names, options, images = ("inception_score", *VARIANCES), {"num_splits": 3}, make_images(2)
    sizes = {"num_real": None, "num_fake": 48, "image_shape": (16, 16, 3)}
    assert image_metrics.problems(names, made_by, options, **sizes) == {}
    assert image_metrics.needed_parts(names, of_real=True) == ()
    fake = summaries.summarize("fake", [images[:9], images[9:]], ("logits",), made_by)
    entries = image_metrics.compare(names, None, fake, made_by, options)
    entry = entries["inception_score_five"]
    assert sorted(fake.parts["logits"].tolist()) == sorted(function(images)[1].tolist())
    expected = metrics.inception_score(fake.parts["logits"], num_splits=3, shuffle_seed=0)
    assert (entry["value"], entry["std"], entry["num_splits"]) == (expected.mean, expected.std, 3)
    for name, variant in VARIANCES.items():
        expected = metrics.inception_variance(fake.parts["logits"], num_splits=3, variant=variant)
        found = entries[f"{name}_five"]
        assert (found["value"], found["std"], found["variant"]) == (*expected, variant)
    assert (entry["n_real"], entry["real"], entry["n_fake"]) == (None, None, 48)
    names = ("inception_score", "frechet_distance")
    canonical = [image_metrics.result_names(name, made_by._replace(is_canonical=True)) for name in names]
    assert canonical == [{"inception_score": "inception_score"}, {"frechet_distance": "fid"}]
    assert [image_metrics.METRICS[name].larger_is_better[name] for name in names] == [True, False]


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


def test_both_scores_of_the_precision_recall_curve():
    real, fake = make_images(1), make_images(2, num=30)
    sets = [summaries.summarize(name, [images], ("features",), PIXELS) for name, images in (("r", real), ("f", fake))]
    entries = image_metrics.compare(("prd",), *sets, PIXELS, {}, seed=3)
    features = sets[0].parts["features"][:30], sets[1].parts["features"]  # as many of both
    curve = metrics.precision_recall_curve(*features, seed=3)
    expected = {"prd_f8_pixels": 8, "prd_f1_8_pixels": 1 / 8}
    assert {name: entry["value"] for name, entry in entries.items()} == {
        name: metrics.largest_f_score(curve, beta=beta) for name, beta in expected.items()
    }
    facts = ("n_real", "n_fake", "seed", "num_clusters", "num_runs")
    assert [entries["prd_f8_pixels"][fact] for fact in facts] == [30, 30, 3, 20, 10]
    sizes = {"num_real": 48, "num_fake": 9, "image_shape": (16, 16, 3)}
    assert "needs at least 10, got 9" in image_metrics.problems(("prd",), PIXELS, {}, **sizes)["prd"]


def test_the_names_of_the_canonical_network_are_understood_with_it():
    assert image_metrics.metric_names("fid, kid,fid,", "inception_v3") == ("frechet_distance", "kernel_distance")


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
        summaries.summarize("set", [images], ("moments", "unit_moments"), PIXELS) for images in (make_images(3), black)
    ]
    entries = image_metrics.compare(("frechet_distance", "vendi_score"), *sets, PIXELS, OPTIONS)
    assert entries["frechet_distance_pixels"]["value"] > 0
    assert entries["vendi_score_pixels"]["value"] is None
    *_, last = tables.of_entries(entries).splitlines()
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
        return summaries.summarize("real", [images], parts, made_by, cache=tmp_path)

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
    found = summaries.summarize("real", [make_images(8)], ("moments",), made_by, cache=tmp_path / "file" / "x")
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


def test_the_cache_lies_where_caches_lie(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert statistics_cache.default_folder() == tmp_path / "buresgan_jax" / "statistics"
