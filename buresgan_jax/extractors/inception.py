"""The extractor of FID, KID and the inception score, and its weights: PyTorch's, or random ones."""

import functools
import re
from collections.abc import Sequence

import jax
import numpy as np
from etils import epath

from buresgan_jax.errors import UserError
from buresgan_jax.extractors.extractor import Extractor, make_extractor, to_rgb
from buresgan_jax.extractors.inception_network import DIM, NUM_CLASSES, InceptionV3
from buresgan_jax.extractors.resize import find_resizer, resize
from buresgan_jax.extractors.weights import Weights, check_params, fold_batch_norm, read_weights

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SIZE = 299
_MIN_SIZE = 75  # below it the last feature maps are empty
_EPS = 1e-3


def inception_v3(
    weights: epath.PathLike = URL,
    *,
    resizer: str = "legacy_tensorflow",
    use_bias: bool = False,
    seed: int = 0,
    batch_size: int = 32,
    devices: Sequence[jax.Device] | None = None,
) -> Extractor:
    """The extractor of FID, KID and the inception score.

    Args:
        weights: path or URL of a PyTorch state dict such as `pt_inception-2015-12-05-6726825d.pth`, read without
            PyTorch; the same file from another address will do. "random" for random ones, to try things out.
        resizer: "legacy_tensorflow" equals torch-fidelity and the graph, "legacy_pytorch" pytorch-fid, "clean"
            clean-fid, with the range of intensities that each feeds to the network.
        use_bias: whether the logits have the last layer's bias; inception scores are computed without.
        seed: of random weights.
        batch_size: images per call of the compiled network.
        devices: which share every batch; by default as many local ones as divide it.

    Returns:
        Features of dimension 2048, 1008 logits. Its name is `inception_v3` with the canonical weights,
        `inception_v3_random` with random ones, else `inception_v3_` with the first 8 digits of the file's sha256.

    Raises:
        UserError: the weights cannot be read, or are those of another network.
        ValueError: unknown resizer; by the extractor: images of other than 1 or 3 channels.
    """
    how = find_resizer(resizer)
    if weights == "random":
        file, name = Weights(random_state_dict(seed), None, "random weights"), "inception_v3_random"
    else:
        file = read_weights(weights)
        name = "inception_v3" if file.sha256 == SHA256 else f"inception_v3_{file.sha256[:8]}"
    network = InceptionV3()

    def apply(params, images):
        images = (resize(to_rgb(images), SIZE, how) - how.mean) / how.scale
        outputs = network.apply({"params": params}, images)
        return outputs.features, outputs.logits if use_bias else outputs.logits_unbiased

    return make_extractor(
        name,
        apply,
        params_from_state_dict(file.arrays, file.source),
        dim=DIM,
        batch_size=batch_size,
        devices=devices,
        sha256=file.sha256,
        resizer=f"{resizer}_{SIZE}",
        is_canonical=file.sha256 == SHA256,
    )


@functools.cache
def _like():
    """Shapes of the parameters."""
    image = jax.ShapeDtypeStruct((1, _MIN_SIZE, _MIN_SIZE, 3), np.float32)
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), image)["params"]


def params_from_state_dict(arrays: dict[str, np.ndarray], source: str = "The state dict") -> dict:
    """Parameters of `InceptionV3` from PyTorch's, the batch norms folded into the convolutions.

    Args:
        arrays: by PyTorch's names; those that count batches, and an auxiliary classifier, are ignored.
        source: what an error message calls them.

    Raises:
        UserError: they are not those of this network.
    """
    params = {}
    for name in arrays:
        if not (match := re.fullmatch(r"(?!AuxLogits)(.*)\.conv\.weight", name)):
            continue
        unit = match[1]
        try:
            folded = fold_batch_norm(arrays, f"{unit}.conv", f"{unit}.bn", _EPS)
        except KeyError as error:
            raise UserError(f"{source} holds the weights of another network: {error} is missing.") from error
        *block, last = unit.split(".")
        inner = functools.reduce(lambda tree, key: tree.setdefault(key, {}), block, params)
        inner[last] = {"conv": {"kernel": folded["kernel"]}, "bias": folded["bias"]}
    if "fc.weight" in arrays and "fc.bias" in arrays:
        params |= {"fc": {"kernel": arrays["fc.weight"].T}, "bias": arrays["fc.bias"]}
    return check_params(params, _like(), source)


def random_state_dict(seed: int) -> dict[str, np.ndarray]:
    """Random weights by PyTorch's names, drawn by NumPy: the same in every framework.

    Args:
        seed: of the generator.

    Returns:
        He-normal kernels, and batch norms that are not the identity.
    """
    random = np.random.default_rng(seed)

    def normal(*shape, scale):
        return random.standard_normal(shape, np.float32) * np.float32(scale)

    arrays = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(_like()):
        unit = ".".join(key.key for key in path).removesuffix(".conv.kernel")
        if leaf.ndim != 4:
            continue
        height, width, old, new = leaf.shape
        arrays[f"{unit}.conv.weight"] = normal(new, old, height, width, scale=np.sqrt(2 / (old * height * width)))
        arrays[f"{unit}.bn.weight"] = 1 + normal(new, scale=0.1)
        arrays[f"{unit}.bn.bias"] = normal(new, scale=0.1)
        arrays[f"{unit}.bn.running_mean"] = normal(new, scale=0.1)
        arrays[f"{unit}.bn.running_var"] = random.uniform(0.5, 1.5, new).astype(np.float32)
    arrays["fc.weight"] = normal(NUM_CLASSES, DIM, scale=np.sqrt(1 / DIM))
    arrays["fc.bias"] = normal(NUM_CLASSES, scale=0.1)
    return arrays
