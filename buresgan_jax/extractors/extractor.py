"""The common form of all extractors, including a user's own function."""

import collections
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import ArrayLike

from buresgan_jax import data
from buresgan_jax.metrics import inputs


class Features(NamedTuple):
    """Features of a set of images, in the order of the images.

    Attributes:
        features: Features, float32 `[n, dim]`.
        logits: Class logits for the inception score, float32 `[n, num_classes]`; None if the extractor has none.
    """

    features: np.ndarray
    logits: np.ndarray | None


class Extractor(NamedTuple):
    """A network that computes features, and the facts that identify it.

    `make_extractor` builds an extractor from a function that JAX can trace. Any other function can be used directly.

    Attributes:
        name: Name of network and weights, such as `vgg16`. Metric names contain it.
        function: Function from images to `Features`. Images have the shape `[n, height, width, channels]`, any n. They
            are uint8, or floating within [-1, 1]; these are rounded to the values of an image file, so that reals and
            fakes are treated equally.
        dim: Dimension of the features.
        sha256: SHA-256 of the weights file; None if there is none. Statistics are cached only if it is known, because
            nothing else distinguishes two functions.
        resizer: Name of the resizing, such as `clean_299`; None if the function takes images as they are.
        is_canonical: Whether this is the Inception-v3 of the definitions of FID, KID and the inception score.
    """

    name: str
    function: Callable[[ArrayLike], Features]
    dim: int
    sha256: str | None = None
    resizer: str | None = None
    is_canonical: bool = False


_CANONICAL_NAMES = {"frechet_distance": "fid", "kernel_distance": "kid", "inception_score": "inception_score"}


def metric_name(quantity: str, extractor: Extractor) -> str:
    """Returns the name of a metric on the features of an extractor.

    Args:
        quantity: Name of the metric's function, such as `frechet_distance`.
        extractor: The extractor of the features.

    Returns:
        `fid`, `kid` or `inception_score` for the canonical Inception-v3. Otherwise the quantity followed by the
        extractor's name, such as `frechet_distance_vgg16`.
    """
    if extractor.is_canonical and quantity in _CANONICAL_NAMES:
        return _CANONICAL_NAMES[quantity]
    return f"{quantity}_{extractor.name}"


def make_extractor(
    name: str,
    apply: Callable[[Any, jax.Array], Any],
    params: Any = None,
    *,
    dim: int,
    batch_size: int = 32,
    devices: Sequence[jax.Device] | None = None,
    sha256: str | None = None,
    resizer: str | None = None,
    is_canonical: bool = False,
) -> Extractor:
    """Builds an extractor from a function of one batch, which is compiled once per image size.

    Args:
        name: See `Extractor`.
        apply: Traceable function `(params, images)` -> features `[batch, dim]`, or `(features, logits)`. Images are
            uint8 `[batch_size, height, width, channels]`. Each row of the results must depend on one image only.
        params: Any pytree of arrays.
        dim: Dimension of the features.
        batch_size: Images per call of the compiled function. The last batch is padded with zeros.
        devices: Devices that split each batch. Default: the largest number of local devices that divides it.
        sha256: See `Extractor`.
        resizer: See `Extractor`.
        is_canonical: See `Extractor`.

    Returns:
        The extractor. Its function raises ValueError if the input is not a batch of images, and if the features do not
        have the shape given here.

    Raises:
        ValueError: The batch cannot be split evenly over the devices.
    """
    inputs.check_positive_integer(batch_size=batch_size, dim=dim)
    mesh = Mesh(np.array(_devices_that_divide(batch_size, devices)), ("batch",))
    split = NamedSharding(mesh, PartitionSpec("batch"))
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))

    @jax.jit
    def compiled(params, images):
        # By default GPUs and TPUs round the factors of float32 products to 10 or 7 bits, too few for metrics.
        with jax.default_matmul_precision("highest"):
            return apply(params, images)

    def outputs_of(images):
        outputs = compiled(params, jax.device_put(images, split))
        features, logits = outputs if isinstance(outputs, tuple) else (outputs, None)
        if features.shape != (batch_size, dim):
            raise ValueError(
                f"The features of {name} must have the shape [batch, dim] = {(batch_size, dim)}, got {features.shape}."
            )
        return Features(features, logits)

    function = functools.partial(_in_batches, outputs_of, batch_size)
    return Extractor(name, function, dim, sha256, resizer, is_canonical)


def _devices_that_divide(batch_size, devices):
    if devices is None:
        number = max(n for n in range(1, jax.local_device_count() + 1) if batch_size % n == 0)
        return jax.local_devices()[:number]
    if batch_size % len(devices):
        raise ValueError(f"batch_size must be a multiple of the {len(devices)} devices, got {batch_size}.")
    return list(devices)


def _in_batches(outputs_of, batch_size, images: ArrayLike) -> Features:
    """Features of any number of images, from a function of batches of one size."""
    images = _as_uint8(images)
    pending, done = collections.deque(), []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        filled = np.zeros((batch_size, *images.shape[1:]), np.uint8)
        filled[: len(batch)] = batch
        pending.append(outputs_of(filled))
        if len(pending) > 1:  # the device works on one batch while the next is prepared, and holds no more
            done.append(jax.device_get(pending.popleft()))
    done += jax.device_get(list(pending))
    rows = (np.concatenate(parts)[: len(images)] for parts in zip(*done, strict=True) if parts[0] is not None)
    features, logits = [*rows, None][:2]
    return Features(features, logits)


def to_rgb(images: jax.Array) -> jax.Array:
    """Converts images to float32 `[batch, height, width, 3]`. Gray images `[batch, height, width, 1]` are repeated.

    Raises:
        ValueError: The number of channels is not 1 or 3.
    """
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images must have 1 channel (gray) or 3 (RGB), got shape {images.shape}.")
    return jnp.broadcast_to(images, (*images.shape[:-1], 3)).astype(jnp.float32)


def _as_uint8(images: ArrayLike) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype == np.uint8:
        inputs.check_images("images", images[:1] if images.ndim == 4 else images)  # avoids a float32 copy of all
        return images
    return data.encode_images(inputs.check_images("images", images))
