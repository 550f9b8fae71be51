"""`python -m buresgan_jax.metrics`: its table and file, its cache, one line for each error."""

import importlib
import json

import numpy as np
import pytest
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
        ["--metrics=kernel_distance"],
        "kernel_distance: real has too few samples: this metric needs at least 1000",
    ),
    "logits": (["--metrics=inception_score"], "inception_score: it needs class logits, and the extractor 'pixels'"),
    "small": (["--metrics=ms_ssim"], "ms_ssim: it needs images of at least 176x176 pixels, got 16x16."),
    "channels": (["--channels=1"], "one height, width and number of channels, got (16, 16, 1) ("),
    "num": (["--num=31"], "has 30 images, 31 are wanted. Ask for fewer."),
    "zero": (["--num=0"], "argument --num: it must be a whole number from 1 to 2147483647, got 0."),
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


def test_folders_of_gray_pictures_have_one_channel(tmp_path):
    Image.fromarray(make_images(0, num=1)[0, ..., 0]).save(tmp_path / "gray.png")
    assert data.image_set(str(tmp_path)).example_shape == (16, 16, 1)
    assert data.image_set(str(tmp_path), channels=3).example_shape == (16, 16, 3)
