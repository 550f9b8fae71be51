"""The extractor of FID, KID and the inception score, with PyTorch's weights or random weights."""

import functools
from collections.abc import Sequence

import flax
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
_MIN_SIZE = 75  # smaller images give empty last feature maps
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
    """Builds the extractor of FID, KID and the inception score.

    Args:
        weights: Path or URL of a PyTorch state dict such as `pt_inception-2015-12-05-6726825d.pth`, which is read
            without PyTorch. The same file from another address works too. "random" gives random weights, for tests.
        resizer: "legacy_tensorflow" matches torch-fidelity and the TensorFlow graph, "legacy_pytorch" matches
            pytorch-fid, "clean" matches clean-fid, each with its range of intensities.
        use_bias: Whether the logits include the last layer's bias. The inception score uses logits without it.
        seed: Seed of random weights.
        batch_size: Images per call of the compiled network.
        devices: Devices that split each batch. Default: the largest number of local devices that divides it.

    Returns:
        The extractor of features of dimension 2048 and 1008 logits. Its name is `inception_v3` with the canonical
        weights, `inception_v3_random` with random weights, else `inception_v3_` with the first 8 digits of the file's
        sha256.

    Raises:
        UserError: The weights cannot be read, or belong to another network.
        ValueError: The resizer is unknown. The extractor raises it for images with other than 1 or 3 channels.
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
    """Returns the shapes of the parameters."""
    image = jax.ShapeDtypeStruct((1, _MIN_SIZE, _MIN_SIZE, 3), np.float32)
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), image)["params"]


def _kernels() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the convolutions' kernels by PyTorch's names of the units."""
    leaves = jax.tree_util.tree_leaves_with_path(_like())
    names = {".".join(key.key for key in path): leaf.shape for path, leaf in leaves if leaf.ndim == 4}
    return {name.removesuffix(".conv.kernel"): shape for name, shape in names.items()}


def params_from_state_dict(arrays: dict[str, np.ndarray], source: str = "The state dict") -> dict:
    """Converts PyTorch's parameters to those of `InceptionV3`, with the batch norms folded into the convolutions.

    Args:
        arrays: Arrays by PyTorch's names. Batch counters and the auxiliary head are ignored.
        source: Name of the arrays in error messages.

    Raises:
        UserError: The arrays belong to another network.
    """
    params = {}
    try:
        for unit in _kernels():
            folded = fold_batch_norm(arrays, f"{unit}.conv", f"{unit}.bn", _EPS)
            params[*unit.split("."), "conv", "kernel"], params[*unit.split("."), "bias"] = folded.values()
        params["fc", "kernel"], params["bias",] = arrays["fc.weight"].T, arrays["fc.bias"]
    except (KeyError, ValueError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{source} holds the weights of another network: {problem}.") from error
    params = flax.traverse_util.unflatten_dict(params)
    return check_params(params, _like(), source)


def random_state_dict(seed: int) -> dict[str, np.ndarray]:
    """Draws random weights with PyTorch's names by NumPy, so they are the same in every framework.

    Args:
        seed: Seed of the random numbers.

    Returns:
        He-normal kernels, and batch norms that are not the identity.
    """
    random = np.random.default_rng(seed)

    def normal(*shape, scale):
        return random.standard_normal(shape, np.float32) * np.float32(scale)

    arrays = {}
    for unit, (height, width, old, new) in _kernels().items():
        arrays[f"{unit}.conv.weight"] = normal(new, old, height, width, scale=np.sqrt(2 / (old * height * width)))
        arrays[f"{unit}.bn.weight"] = 1 + normal(new, scale=0.1)
        arrays[f"{unit}.bn.bias"] = normal(new, scale=0.1)
        arrays[f"{unit}.bn.running_mean"] = normal(new, scale=0.1)
        arrays[f"{unit}.bn.running_var"] = random.uniform(0.5, 1.5, new).astype(np.float32)
    arrays["fc.weight"] = normal(NUM_CLASSES, DIM, scale=np.sqrt(1 / DIM))
    arrays["fc.bias"] = normal(NUM_CLASSES, scale=0.1)
    return arrays
