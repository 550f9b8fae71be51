"""`python -m buresgan_jax.metrics`: its table and file, its cache, one line for each error."""

import importlib
import json

import numpy as np
import pytest
from absl import logging
from helpers import make_images
from PIL import Image

from buresgan_jax import data, extractors, metrics
from buresgan_jax.evaluation import compare_sets

PIXELS = extractors.pixels()


@pytest.fixture
def run(monkeypatch, tmp_path, capfd):
    """The command in this process: status, standard output, standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))

    def run(*arguments):
        capfd.readouterr()
        try:
            status = compare_sets.main([str(argument) for argument in arguments])
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


def test_the_command_is_the_programs():
    assert importlib.import_module("buresgan_jax.metrics.__main__").main is compare_sets.main


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
    monkeypatch.setitem(extractors.EXTRACTORS, "pixels", lambda: PIXELS._replace(sha256="ab" * 32))
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
        ["--metrics=different_bins"],
        "different_bins: real has too few samples: this metric needs at least 100, got 48.",
    ),
    "logits": (["--metrics=inception_score"], "inception_score: it needs class logits, and the extractor 'pixels'"),
    "small": (["--metrics=ms_ssim"], "ms_ssim: it needs images of at least 176x176 pixels, got 16x16."),
    "channels": (["--channels=1"], "one height, width and number of channels, got (16, 16, 1) ("),
    "num": (["--num=31"], "has 30 images, 31 are wanted. Ask for fewer."),
    "zero": (["--num=0"], "argument --num: it must be a whole number from 1 to 2147483647, got 0."),
    "range": (["--range=1,0"], "argument --range: it must be two increasing numbers such as 0,1, got 1,0."),
    "NaN": (["--range=0,nan"], "argument --range: it must be two increasing numbers such as 0,1, got 0,nan."),
    "saved": (["--save_statistics=/none/x.npz"], "The folder of --save_statistics=/none/x.npz does not exist."),
    "out": (["--out=/none/x.json"], "The folder of --out=/none/x.json does not exist."),
    "out is a folder": (["--out=/"], "--out=/ is a folder. Give a file."),
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
    "shape": (np.zeros((3, 2), np.float32), "images [n, height, width, 1 or 3] or gray ones [n, height, width], got s"),
    "zero to one": (np.full((3, 8, 8, 3), 0.5), "has no negative value, from 0.5 to 0.5: is black -1, or 0? Give"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_arrays_that_are_no_images_are_told(run, places, tmp_path, name):
    samples, message = SAMPLES[name]
    np.savez(tmp_path / "bad.npz", samples=samples)
    status, out, err = run(f"--real={places[0]}", f"--fake={tmp_path / 'bad.npz'}", "--metrics=frechet_distance")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_files_that_hold_no_samples_are_told(run, places, tmp_path):
    np.savez(tmp_path / "bad.npz", images=np.zeros(3), labels=np.zeros(3))
    metric = "--metrics=frechet_distance"
    assert "has no array 'samples'." in run(f"--real={places[0]}", f"--fake={tmp_path / 'bad.npz'}", metric)[2]
    (tmp_path / "bad.npz").write_bytes(b"damaged")
    assert "Cannot read " in run(f"--real={places[0]}", f"--fake={tmp_path / 'bad.npz'}", metric)[2]


FORMS = {  # how an array is kept, and the options that it needs
    "arr_0": (lambda file, images: np.savez(file, images), ()),
    "the only one": (lambda file, images: np.savez(file, images=images), ()),
    "beside others": (lambda file, images: np.savez(file, labels=np.arange(3), samples=images), ()),
    "npy": (np.save, ()),
    "zero to one": (lambda file, images: np.savez(file, images / 255), ("--range=0,1",)),
    "zero to 255": (lambda file, images: np.save(file, images.astype(np.float32)), ("--range=0,255",)),
    "minus one to one": (lambda file, images: np.save(file, images / 127.5 - 1), ()),
    "bright": (lambda file, images: np.save(file, images / 127.5 - 1), ("--range=-1,1",)),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_an_array_holds_the_same_images(tmp_path, name, channels):
    save, flags = FORMS[name]
    images = make_images(10, channels=channels) | np.uint8(128 if name == "bright" else 0)
    with open(tmp_path / "x.npz", "wb") as file:
        save(file, images[..., 0] if channels == 1 else images)  # gray ones without their axis of channels
    value_range = compare_sets.parse(["--real=a", "--fake=b", "--metrics=c", *flags]).range
    source = data.image_set(str(tmp_path / "x.npz"), value_range=value_range)
    np.testing.assert_array_equal(source.fetch(np.arange(48)), images)


def test_statistics_take_the_place_of_the_real_set(run, places, tmp_path, monkeypatch):
    folder, file = places
    fake, frechet, statistics = f"--fake={file}", "--metrics=frechet_distance", tmp_path / "statistics.npz"
    _, expected, _ = run(f"--real={folder}", fake, frechet)
    assert run(f"--real={folder}", f"--save_statistics={statistics}") == (0, "", "")
    assert run(f"--real={statistics}", fake, frechet) == (0, expected, "")

    with np.load(statistics) as arrays:  # what other packages keep
        np.savez(tmp_path / "theirs.npz", mu=arrays["mu"], sigma=arrays["sigma"])
    features = PIXELS.function(make_images(10)).features.astype(np.float64)
    with np.load(tmp_path / "theirs.npz") as arrays:
        np.testing.assert_allclose(arrays["mu"], features.mean(0))
        np.testing.assert_allclose(arrays["sigma"], np.cov(features, rowvar=False))
    assert run(f"--real={tmp_path / 'theirs.npz'}", fake, frechet)[1] == expected.replace("| 48 | 30 |", "| - | 30 |")

    status, out, err = run(f"--real={statistics}", fake, "--metrics=frechet_distance,precision_recall,vendi_score")
    assert (status, err.count("\n")) == (0, 1)
    assert err.startswith(
        "precision_pixels, recall_pixels, density_pixels, coverage_pixels: it needs the real images, and "
    )
    assert f"{statistics} holds their mean and covariance only." in err
    assert expected.splitlines()[-1] in out.splitlines()
    assert "no statistics" in run("--help")[1]
    for arguments, message in [
        ((f"--real={statistics}", fake, "--metrics=different_bins"), "different_bins: it needs the real images"),
        ((f"--real={folder}", f"--fake={statistics}", frechet), "has no array 'samples'."),
        ((f"--real={statistics}", f"--save_statistics={tmp_path / 'x.npz'}"), "holds statistics already."),
        ((f"--real={folder}", fake), "--real, --fake and --metrics belong together"),
    ]:
        status, out, err = run(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert message in err
    damages = (
        *({"facts": text} for text in ("[1]", "{", '{"image_shape": 7}', '{"extractor": ["x"]}', "[" * 100_000)),
        *({"mu": mu} for mu in (7, np.full(PIXELS.dim, "1"), np.full(PIXELS.dim, np.nan))),
        {"num_images": np.inf},
    )
    for number, damage in enumerate(damages):
        with np.load(statistics) as arrays:
            np.savez(tmp_path / f"{number}.npz", **{**arrays, **damage})
        status, out, err = run(f"--real={tmp_path / f'{number}.npz'}", fake, frechet)
        assert (status, out, err.count("\n")) == (2, "", 1), err
    monkeypatch.setitem(extractors.EXTRACTORS, "pixels", lambda: PIXELS._replace(resizer="other"))
    status, _, err = run(f"--real={statistics}", fake, frechet)
    assert (status, err.count("\n")) == (2, 1)
    assert "Choose the --extractor, --weights and --resizer that made them." in err


def test_few_images_lower_the_subset_size_with_a_word(run, places, tmp_path, monkeypatch):
    warnings, file = [], tmp_path / "x.json"
    monkeypatch.setattr(logging, "warning", lambda text, *arguments: warnings.append(text % arguments))
    flags = [f"--real={places[0]}", "--metrics=kernel_distance", f"--out={file}"]
    assert run(*flags, f"--fake={places[1]}")[0] == 0
    entry = json.loads(file.read_text())["kernel_distance_pixels"]
    assert (entry["subset_size"], entry["num_subsets"]) == (30, 100)
    assert warnings == [
        "kernel_distance: the subsets hold 30 images instead of subset_size=1000, because a set has no more."
    ]
    features = [PIXELS.function(images)[0] for images in (make_images(10), np.load(places[1])["samples"])]
    whole = metrics.kernel.unbiased_squared_mmd(*features)
    assert entry["value"] == pytest.approx(whole, abs=5 * entry["standard_error"])
    assert run(*flags, f"--fake={places[0]}", "--num=30")[0] == 0
    entry = json.loads(file.read_text())["kernel_distance_pixels"]  # there is only one subset: no spread is known
    assert (entry["subset_size"], entry["num_subsets"], entry.get("standard_error")) == (30, 1, None)


def test_a_metric_that_cannot_be_computed_costs_no_other(run, places):
    flags = [f"--real={places[0]}", f"--fake={places[1]}"]
    status, out, err = run(*flags, "--metrics=ms_ssim,inception_score,different_bins,frechet_distance")
    assert (status, err.count("\n")) == (0, 3)
    assert "ms_ssim: it needs images of at least 176x176 pixels, got 16x16." in err
    assert out.splitlines()[-1] == run(*flags, "--metrics=frechet_distance")[1].splitlines()[-1]


def test_pictures_of_several_sizes_need_a_size(run, places):
    Image.fromarray(make_images(0, num=1, size=20)[0]).save(places[0] / "larger.png")
    flags = [f"--real={places[0]}", f"--fake={places[1]}", "--metrics=frechet_distance"]
    status, _, err = run(*flags)
    assert status == 2
    assert "are not squares of one size, but 16x16, 20x20. Give an image size in pixels" in err
    assert run(*flags, "--image_size=16")[0] == 0


def test_folders_of_gray_pictures_have_one_channel(tmp_path):
    Image.fromarray(make_images(0, num=1)[0, ..., 0]).save(tmp_path / "gray.png")
    assert data.image_set(str(tmp_path)).example_shape == (16, 16, 1)
    assert data.image_set(str(tmp_path), channels=3).example_shape == (16, 16, 3)
