"""What makes features of images: the one form that all extractors have, a user's own function included."""

import collections
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
    """Of a set of images, in their order.

    Attributes:
        features: float32 `[n, dim]`.
        logits: of a classifier, float32 `[n, num_classes]`, for the inception score; None where there is none.
    """

    features: np.ndarray
    logits: np.ndarray | None


class Extractor(NamedTuple):
    """A network that makes features, with what a number made of them has to say about its origin.

    `make_extractor` makes one of a function that JAX can trace; any other function can be put here as it is.

    Attributes:
        name: of network and weights, such as `vgg16`: it becomes a part of the metrics' names.
        function: images -> `Features`. Images have the shape `[n, height, width, channels]`, any n, and are uint8, or
            floating within [-1, 1] and then rounded to what an image file can hold, so that reals and fakes go one way.
        dim: of the features.
        sha256: of the file of weights; None where there is none. Statistics are kept for the next time only where it
            is known, since nothing else tells two functions apart.
        resizer: how images become those of the network, such as `clean_299`; None if the function takes them as they
            are.
        is_canonical: whether it is the Inception-v3 that FID, KID and the inception score are defined by.
    """

    name: str
    function: Callable[[ArrayLike], Features]
    dim: int
    sha256: str | None = None
    resizer: str | None = None
    is_canonical: bool = False


_CANONICAL_NAMES = {"frechet_distance": "fid", "kernel_distance": "kid", "inception_score": "inception_score"}


def metric_name(quantity: str, extractor: Extractor) -> str:
    """What a number may be called.

    Args:
        quantity: name of the metric's function, such as `frechet_distance`.
        extractor: of the features that it was made from.

    Returns:
        `fid`, `kid` or `inception_score` on the canonical Inception-v3; everywhere else the quantity with the
        extractor's name, `frechet_distance_vgg16`.
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
    """An extractor from a function of one batch, compiled once per image size.

    Args:
        name: see `Extractor`.
        apply: `(params, images)` -> features `[batch, dim]`, or `(features, logits)`; JAX can trace it. Images are
            uint8 `[batch_size, height, width, channels]`; each row of the results depends on one image only.
        params: any pytree of arrays.
        dim: of the features.
        batch_size: images per call of the compiled function; the last batch is filled up with zeros.
        devices: which share every batch; by default as many local ones as divide it.
        sha256: see `Extractor`.
        resizer: see `Extractor`.
        is_canonical: see `Extractor`.

    Returns:
        The extractor. Its function raises ValueError for arrays that are no images, and for features that do not have
        the shape promised here.

    Raises:
        ValueError: the batch cannot be split evenly over the devices.
    """
    inputs.check_positive_integer(batch_size=batch_size, dim=dim)
    if devices is None:
        number = max(n for n in range(1, jax.local_device_count() + 1) if batch_size % n == 0)
        devices = jax.local_devices()[:number]
    devices = list(devices)
    if batch_size % len(devices):
        raise ValueError(f"batch_size must be a multiple of the {len(devices)} devices, got {batch_size}.")
    mesh = Mesh(np.array(devices), ("batch",))
    split = NamedSharding(mesh, PartitionSpec("batch"))
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))

    @jax.jit
    def compiled(params, images):
        # By default GPUs and TPUs round the factors of float32 products to 10 or 7 bits, more than metrics may differ.
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

    def function(images: ArrayLike) -> Features:
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

    return Extractor(name, function, dim, sha256, resizer, is_canonical)


def to_rgb(images: jax.Array) -> jax.Array:
    """Images `[batch, height, width, 3]` in float32; gray ones `[batch, height, width, 1]` three times over.

    Raises:
        ValueError: another number of channels.
    """
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images must have 1 channel (gray) or 3 (RGB), got shape {images.shape}.")
    return jnp.broadcast_to(images, (*images.shape[:-1], 3)).astype(jnp.float32)


def _as_uint8(images: ArrayLike) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype == np.uint8:
        inputs.check_images("images", images[:1] if images.ndim == 4 else images)  # no float32 copy of all
        return images
    return data.encode_images(inputs.check_images("images", images))
