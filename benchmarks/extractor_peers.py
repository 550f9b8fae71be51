"""The networks of other packages, with given weights: `[batch, height, width, 3]` in, NumPy arrays by name out.

The packages are those of metric_peers.py. The functions here need all of them.
"""

import pathlib
import tempfile
from collections.abc import Callable
from importlib import metadata
from unittest import mock

import metric_peers
import numpy as np

metric_peers.declare_operators()

import torch  # noqa: E402
import torchvision  # noqa: E402
from cleanfid.resize import build_resizer, make_resizer  # noqa: E402
from pytorch_fid import inception as pytorch_fid_inception  # noqa: E402
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: E402
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x  # noqa: E402

Arrays = dict[str, np.ndarray]


def versions() -> dict[str, str]:
    """Versions of the packages."""
    return metric_peers.versions() | {name: metadata.version(name) for name in ("torch", "torchvision")}


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))


def _array(tensor: torch.Tensor) -> np.ndarray:
    array = tensor.numpy()
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def pytorch_fid_activations(arrays: Arrays, images: np.ndarray) -> Arrays:
    """Outputs of all modules of pytorch-fid's Inception-v3, by their names, with "pool3" and "logits".

    Args:
        arrays: The network's state dict.
        images: Images within [-1, 1].
    """
    with mock.patch.object(pytorch_fid_inception, "load_state_dict_from_url", return_value=_tensors(arrays)):
        network = pytorch_fid_inception.fid_inception_v3().eval()
    found = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, __, outputs, name=name: found.update({name: _array(outputs)}))
    with torch.no_grad():
        network(_tensor(images))
    return found | {"pool3": found["avgpool"][:, 0, 0], "logits": found[""]}


def torch_fidelity_inception(arrays: Arrays) -> Callable[[np.ndarray], Arrays]:
    """torch-fidelity's extractor: uint8 images of any size -> "pool3", "logits_unbiased" and "logits".

    Args:
        arrays: The network's state dict.
    """
    names = {"2048": "pool3", "logits_unbiased": "logits_unbiased", "logits": "logits"}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "weights.pth"
        torch.save(_tensors(arrays), file)
        network = FeatureExtractorInceptionV3("inception", list(names), feature_extractor_weights_path=str(file))

    def outputs(images):
        with torch.no_grad():
            return {name: part.numpy() for name, part in zip(names.values(), network(_tensor(images)), strict=True)}

    return outputs


def _normalized(images: np.ndarray) -> torch.Tensor:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return _tensor(((images / 255 - mean) / std).astype(np.float32))


def torchvision_vgg16(convolutions: dict[str, Arrays], images: np.ndarray) -> np.ndarray:
    """The last pooling of torchvision's VGG16, averaged.

    Args:
        convolutions: `kernel` `[height, width, in, out]` and `bias` of `Conv_0` to `Conv_12`.
        images: Images, uint8.
    """
    layers = torchvision.models.vgg16().features.eval()
    own = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for layer, arrays in zip(own, convolutions.values(), strict=True):
            layer.weight.copy_(torch.from_numpy(arrays["kernel"].transpose(3, 2, 0, 1).copy()))
            layer.bias.copy_(torch.from_numpy(arrays["bias"]))
        return layers(_normalized(images)).mean((2, 3)).numpy()


def torchvision_mobilenet_v2(arrays: Arrays, images: np.ndarray) -> Arrays:
    """Pooled features and logits of torchvision's MobileNet-v2 of uint8 images; `arrays` is its state dict."""
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(_tensors(arrays))
    network.eval()
    with torch.no_grad():
        features = network.features(_normalized(images)).mean((2, 3))
        return {"features": features.numpy(), "logits": network.classifier(features).numpy()}


def resized(name: str, images: np.ndarray, size: int) -> np.ndarray:
    """Resizes uint8 images `[batch, height, width, 3]` with the package of the resizer's name; returns float32."""
    if name == "legacy_tensorflow":
        tensor = _tensor(images.astype(np.float32))
        return _array(interpolate_bilinear_2d_like_tensorflow1x(tensor, size=(size, size), align_corners=False))
    if size == 299:
        resizer = build_resizer(name)
    else:
        options = {"legacy_pytorch": ("PyTorch", False, "bilinear"), "clean": ("PIL", False, "bicubic")}[name]
        resizer = make_resizer(*options, (size, size))
    return np.stack([resizer(image) for image in images])


def write_state_dict(arrays: Arrays, file: pathlib.Path, is_new: bool) -> None:
    """Writes a state dict by `torch.save`, in its new or its old format. Views stay views."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(tensors, file, _use_new_zipfile_serialization=is_new)
