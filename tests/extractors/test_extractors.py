"""Extractors of any function, resizing, and files of weights."""

import hashlib
import os
import pickle

import jax
import numpy as np
import pytest
from golden import features as golden
from PIL import Image

from buresgan_jax import extractors
from buresgan_jax.errors import UserError
from buresgan_jax.extractors import torch_file
from buresgan_jax.extractors.resize import find_resizer, resize
from buresgan_jax.extractors.weights import read_weights

RESIZERS = ("legacy_tensorflow", "legacy_pytorch", "clean")
IMAGES = np.random.default_rng(0).integers(0, 256, size=(7, 4, 4, 3), dtype=np.uint8)


def corners(params, images):
    """Two features and three logits of the first pixel."""
    first = images[:, 0, 0].astype(np.float32)
    return first[:, :2] * params, first


def corner_extractor(**options):
    return extractors.make_extractor("corner", corners, np.float32(2), dim=2, **({"batch_size": 4} | options))


# Extractors


@pytest.mark.parametrize("num_devices", [1, 4])
@pytest.mark.parametrize("num_images", [1, 4, 7])
def test_any_number_of_images_on_any_number_of_devices(num_images, num_devices):
    images = IMAGES[:num_images]
    result = corner_extractor(devices=jax.local_devices()[:num_devices]).function(images)
    np.testing.assert_array_equal(result.features, 2.0 * images[:, 0, 0, :2])
    np.testing.assert_array_equal(result.logits, images[:, 0, 0])


def test_floating_images_are_rounded_as_files_are():
    extractor = corner_extractor()
    exact = IMAGES.astype(np.float32) / 127.5 - 1
    for images in (exact, exact + 0.4 / 127.5 * np.where(IMAGES < 255, 1, -1)):
        np.testing.assert_array_equal(extractor.function(images).features, extractor.function(IMAGES).features)


def test_one_compilation_per_image_size_in_full_precision():
    traced = []

    def count(params, images):
        traced.append((images.shape, jax.config.jax_default_matmul_precision))
        return corners(1, images)[0]

    extractor = extractors.make_extractor("count", count, dim=2, batch_size=4)
    for images in (IMAGES, IMAGES[:2], IMAGES[:, :2]):
        assert extractor.function(images).logits is None
    assert traced == [((4, 4, 4, 3), "highest"), ((4, 2, 4, 3), "highest")]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"^images must be images of shape \[n, height, width, channels\], got shape \(4, 4, 3\)"),
        (IMAGES[:0], "^images has too few samples"),
        (IMAGES.astype(int), "^images must be floating within"),
        (IMAGES.astype(np.float32), r"^images must lie within \[-1, 1\]"),
        (np.full((2, 4, 4, 3), np.nan), "^2 of 2 samples of images are not finite"),
    ],
)
def test_bad_images_are_one_clear_line(images, message):
    with pytest.raises(ValueError, match=message):
        corner_extractor().function(images)


def test_bad_functions_and_batches_are_one_clear_line():
    extractor = extractors.make_extractor("wrong", lambda _, images: images[:, 0, 0], dim=2, batch_size=4)
    with pytest.raises(ValueError, match=r"^The features of wrong must have the shape .* = \(4, 2\), got \(4, 3\)\.$"):
        extractor.function(IMAGES)
    with pytest.raises(ValueError, match=r"^batch_size must be a multiple of the 4 devices, got 6\.$"):
        corner_extractor(devices=jax.local_devices(), batch_size=6)


# Resizing


@pytest.mark.parametrize("case", golden.RESIZED)
@pytest.mark.parametrize("name", RESIZERS)
def test_resizing_equals_the_packages(name, case):
    height, width, size = golden.RESIZED[case]
    ours = resize(golden.images(height, width).astype(np.float32), size, find_resizer(name))
    np.testing.assert_allclose(golden.summary(ours), golden.load()["resized"][name][case], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(5, 9), (31, 18)])
def test_clean_resizing_equals_pillow_everywhere(shape):
    images = golden.images(*shape).astype(np.float32)
    channels = [
        [Image.fromarray(image[..., i]).resize((12, 12), Image.Resampling.BICUBIC) for i in range(3)]
        for image in images
    ]
    expected = np.clip([np.stack(image, -1) for image in channels], 0, 255)
    np.testing.assert_allclose(resize(images, 12, find_resizer("clean")), expected, atol=1e-3)


@pytest.mark.parametrize("name", RESIZERS)
def test_resizing_to_the_same_size_changes_nothing(name):
    images = golden.images(6, 6).astype(np.float32)
    np.testing.assert_allclose(resize(images, 6, find_resizer(name)), images, atol=1e-4)


# Files of weights


@pytest.mark.parametrize("name", golden.STATE_DICTS)
def test_both_formats_of_pytorch_are_read(name):
    arrays = torch_file.read_arrays((golden.FOLDER / f"state_dict_{name}.pth").read_bytes())
    expected = golden.state_dict()
    assert set(arrays) == set(expected)
    for key, array in expected.items():
        assert arrays[key].dtype == array.dtype
        np.testing.assert_array_equal(arrays[key], array)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / "harmful.pth").write_bytes(pickle.dumps({"a": Harmful()}))
    with pytest.raises(UserError, match=r"it holds a posix.mkdir; only dictionaries of arrays are read"):
        read_weights(tmp_path / "harmful.pth")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "pickle exhausted"),
        (b"<html>not found</html>", "opcode .* unknown"),
        (pickle.dumps([1]), "of type list, not a dictionary of arrays"),
        (pickle.dumps({"a": {"b": 1}}), "a/b is of type int, not an array"),
        (
            (golden.FOLDER / "state_dict_old.pth").read_bytes()[:-9],
            "storage 93906591307184 has 39 bytes, not 12 float32 numbers",
        ),
    ],
)
def test_other_files_are_one_clear_line(tmp_path, content, reason):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    with pytest.raises(
        UserError, match=rf"weights\.pth is not a weights file \(.*({reason}).*\)\. Give a state dict"
    ) as error:
        read_weights(file)
    assert "\n" not in str(error.value)


def test_missing_files_and_wrong_checksums_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.pth does not exist\. Give a path or a URL by --weights or config"):
        read_weights(tmp_path / "nothing.pth")
    file = golden.FOLDER / "state_dict_new.pth"
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert read_weights(file, sha256=sha256).sha256 == sha256
    with pytest.raises(UserError, match=rf"has sha256 {sha256}, expected 00\. Give another file\.$"):
        read_weights(file, sha256="00")
    damaged = tmp_path / "weights-6726825d.pth"
    damaged.write_bytes(file.read_bytes())
    with pytest.raises(UserError, match=rf"has sha256 {sha256}, expected 6726825d\. Give"):
        read_weights(damaged)


def test_a_url_is_downloaded_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "weights.pth"
    file.write_bytes((golden.FOLDER / "state_dict_new.pth").read_bytes())
    with pytest.raises(UserError, match=r"^Cannot download file:.*its sha256 is .*, expected 00\)\. Download it else"):
        read_weights(file.as_uri(), sha256="00")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    first = read_weights(file.as_uri())
    file.unlink()
    assert read_weights(file.as_uri()).sha256 == first.sha256
    with pytest.raises(
        UserError,
        match=r"^Cannot download file:.*missing\.pth \(.*\)\. Download it elsewhere and give its path: --weights=FILE",
    ):
        read_weights((tmp_path / "missing.pth").as_uri())
