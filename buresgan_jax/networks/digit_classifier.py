"""The digit classifier of stacked MNIST, for gray 28x28 images, with 1,111,946 parameters."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from buresgan_jax.networks.layers import Conv, Dense, at_least_float32


class DigitClassifier(nn.Module):
    """5x5 convolutions without padding, each followed by 2x2 max pooling and ReLU, and two dense layers.

    Attributes:
        filters: Channels after each convolution.
        hidden: Width of the first dense layer, which is followed by ReLU and dropout with probability 1/2.
        num_classes: Number of classes.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    filters: Sequence[int] = (32, 64)
    hidden: int = 1024
    num_classes: int = 10
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Classifies images.

        Args:
            x: Images in [-1, 1], shape `[batch, 28, 28, 1]`. Other sizes work if every size before a pooling is even.
            train: Whether to apply dropout, which needs the rng `dropout`.

        Returns:
            Logits, shape `[batch, num_classes]`, at least float32.
        """
        for filters in self.filters:
            x = nn.relu(_halve(Conv(filters, padding="VALID", dtype=self.dtype)(x)))
        x = nn.relu(Dense(self.hidden, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return at_least_float32(Dense(self.num_classes, dtype=self.dtype)(x))


def _halve(x: jax.Array) -> jax.Array:
    """Takes maxima over 2x2 pixels. With `nn.max_pool` a training step on a CPU takes 1.5 times as long."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
