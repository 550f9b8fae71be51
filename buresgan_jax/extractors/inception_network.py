"""The Inception-v3 of the Frechet inception distance: the TensorFlow graph of 2015-12-05.

It differs from later versions: it has 1008 classes, averages that do not count the padding, and a maximum instead of an
average in the last block. Batch norms (inference only) are folded into the preceding convolutions. Modules have
PyTorch's names.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from buresgan_jax.networks import Conv

DIM, NUM_CLASSES = 2048, 1008


class InceptionOutputs(NamedTuple):
    """Outputs of the network.

    Attributes:
        features: The last pooling, "pool3", `[batch, 2048]`.
        logits_unbiased: Logits without the bias of the last layer, for the inception score, `[batch, 1008]`.
        logits: Logits, `[batch, 1008]`.
    """

    features: jax.Array
    logits_unbiased: jax.Array
    logits: jax.Array


class _Unit(nn.Module):
    """A convolution and ReLU. `pool`, a linear map of each channel, is applied between the kernel and the bias."""

    features: int
    kernel_size: Sequence[int]
    strides: int = 1
    padding: str = "SAME"
    pool: Callable[[jax.Array], jax.Array] | None = None

    @nn.compact
    def __call__(self, x):
        conv = Conv(self.features, self.kernel_size, (self.strides,) * 2, self.padding, use_bias=False, name="conv")
        x = conv(x)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return nn.relu((self.pool(x) if self.pool else x) + bias.reshape(1, 1, 1, -1))


def _kernel(size):
    return (size, size) if isinstance(size, int) else size


def _chain(x, *units):
    """Applies a sequence of units `(name, features, kernel size)`. A fourth entry "s" means stride 2 and no padding."""
    for name, features, size, *is_strided in units:
        options = {"strides": 2, "padding": "VALID"} if is_strided else {}
        x = _Unit(features, _kernel(size), name=name, **options)(x)
    return x


def _average(x, features):
    """Averages over 3x3 pixels after a 1x1 convolution instead of before it: they commute, and channels are fewer."""
    return _Unit(features, (1, 1), pool=_average_pool, name="branch_pool")(x)


class InceptionA(nn.Module):
    """Block with feature maps of 35 x 35."""

    pool_features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[batch, height, width, channels]` to `[batch, height, width, 224 + pool_features]`."""
        branches = [
            _chain(x, ("branch1x1", 64, 1)),
            _chain(x, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
            _chain(x, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
            _average(x, self.pool_features),
        ]
        return jnp.concatenate(branches, -1)


class InceptionB(nn.Module):
    """Block that reduces feature maps from 35 x 35 to 17 x 17."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Adds 480 channels and halves height and width."""
        branches = [
            _chain(x, ("branch3x3", 384, 3, "s")),
            _chain(x, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, "s")),
            _max_pool(x),
        ]
        return jnp.concatenate(branches, -1)


class InceptionC(nn.Module):
    """Block with feature maps of 17 x 17."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[batch, height, width, channels]` to `[batch, height, width, 768]`."""
        c = self.width
        names = [f"branch7x7dbl_{i}" for i in range(1, 6)]
        sizes = [(c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))]
        branches = [
            _chain(x, ("branch1x1", 192, 1)),
            _chain(x, ("branch7x7_1", c, 1), ("branch7x7_2", c, (1, 7)), ("branch7x7_3", 192, (7, 1))),
            _chain(x, *((name, *size) for name, size in zip(names, sizes, strict=True))),
            _average(x, 192),
        ]
        return jnp.concatenate(branches, -1)


class InceptionD(nn.Module):
    """Block that reduces feature maps from 17 x 17 to 8 x 8."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Adds 512 channels and halves height and width."""
        sevens = _chain(x, ("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1)))
        branches = [
            _chain(x, ("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, "s")),
            _chain(sevens, ("branch7x7x3_4", 192, 3, "s")),
            _max_pool(x),
        ]
        return jnp.concatenate(branches, -1)


class InceptionE(nn.Module):
    """Block with feature maps of 8 x 8. In the last block the pooling is a maximum."""

    is_last: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[batch, height, width, channels]` to `[batch, height, width, 2048]`."""
        threes = _chain(x, ("branch3x3_1", 384, 1))
        doubles = _chain(x, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
        branches = [
            _chain(x, ("branch1x1", 320, 1)),
            _chain(threes, ("branch3x3_2a", 384, (1, 3))),
            _chain(threes, ("branch3x3_2b", 384, (3, 1))),
            _chain(doubles, ("branch3x3dbl_3a", 384, (1, 3))),
            _chain(doubles, ("branch3x3dbl_3b", 384, (3, 1))),
            _chain(_max_pool(x, 1), ("branch_pool", 192, 1)) if self.is_last else _average(x, 192),
        ]
        return jnp.concatenate(branches, -1)


class InceptionV3(nn.Module):
    """Inception-v3, with 23.9 million parameters and 11.4e9 operations per image of 299 x 299."""

    @nn.compact
    def __call__(self, x: jax.Array) -> InceptionOutputs:
        """Computes features and logits.

        Args:
            x: Images approximately within [-1, 1], shape `[batch, height, width, 3]`, usually 299 x 299.

        Returns:
            See `InceptionOutputs`. With `capture_intermediates=True`, `apply` also returns every activation by name.
        """
        x = _chain(x, ("Conv2d_1a_3x3", 32, 3, "s"))
        x = _Unit(32, (3, 3), padding="VALID", name="Conv2d_2a_3x3")(x)
        x = _max_pool(_chain(x, ("Conv2d_2b_3x3", 64, 3)))
        x = _chain(x, ("Conv2d_3b_1x1", 80, 1))
        x = _max_pool(_Unit(192, (3, 3), padding="VALID", name="Conv2d_4a_3x3")(x))
        for name, pool_features in {"Mixed_5b": 32, "Mixed_5c": 64, "Mixed_5d": 64}.items():
            x = InceptionA(pool_features, name=name)(x)
        x = InceptionB(name="Mixed_6a")(x)
        for name, width in {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192}.items():
            x = InceptionC(width, name=name)(x)
        x = InceptionD(name="Mixed_7a")(x)
        x = InceptionE(name="Mixed_7b")(x)
        x = InceptionE(is_last=True, name="Mixed_7c")(x)
        features = x.mean((1, 2))
        unbiased = nn.Dense(NUM_CLASSES, use_bias=False, name="fc")(features)
        bias = self.param("bias", nn.initializers.zeros_init(), (NUM_CLASSES,), jnp.float32)
        return InceptionOutputs(features, unbiased, unbiased + bias[None])


# Pooling by slices: on a CPU, XLA's window reductions take several times as long as a few maxima and sums.


def _max_pool(x: jax.Array, stride: int = 2) -> jax.Array:
    """Takes maxima over 3x3 pixels, with stride 2 and no padding, or with stride 1 and padding."""
    padding = (1, 1) if stride == 1 else (0, 0)
    for axis in (1, 2):
        x = _reduce(jnp.maximum, x, axis, stride, padding, -jnp.inf)
    return x


def _average_pool(x: jax.Array) -> jax.Array:
    """Averages over 3x3 pixels; pixels outside of the image do not count."""
    for axis in (1, 2):
        size = x.shape[axis]
        counts = np.minimum(np.arange(size) + 2, size) - np.maximum(np.arange(size) - 1, 0)
        shape = [1, 1, 1, 1]
        shape[axis] = size
        x = _reduce(jnp.add, x, axis, 1, (1, 1), 0.0) / counts.astype(np.float32).reshape(shape)
    return x


def _reduce(function, x, axis, stride, padding, fill):
    """Reduces three neighbors along one axis."""
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (*padding, 0)
    x = lax.pad(x, jnp.asarray(fill, x.dtype), pads)
    stop = x.shape[axis] - 2
    parts = (lax.slice_in_dim(x, i, stop + i, stride, axis) for i in range(3))
    return functools.reduce(function, parts)
