"""The classifier of gray 28x28 pictures that judges stacked MNIST, 1,111,946 parameters."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from buresgan_jax.networks.layers import Conv, Dense, at_least_float32


class DigitClassifier(nn.Module):
    """5x5 convolutions without padding, each with a maximum over 2x2 pixels and ReLU, and two dense layers.

    Attributes:
        filters: channels after each convolution.
        hidden: width of the first dense layer, which has ReLU and dropout of one half.
        num_classes: number of classes.
        dtype: dtype of the computation; parameters are float32. Default: the inputs' and parameters' common dtype.
    """

    filters: Sequence[int] = (32, 64)
    hidden: int = 1024
    num_classes: int = 10
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Classifies pictures.

        Args:
            x: pictures in [-1, 1], shape `[batch, 28, 28, 1]`; other sizes do where all halvings come out even.
            train: whether there is dropout, which needs the random numbers `dropout`.

        Returns:
            Logits, shape `[batch, num_classes]`, at least float32.
        """
        for filters in self.filters:
            x = nn.relu(_halve(Conv(filters, padding="VALID", dtype=self.dtype)(x)))
        x = nn.relu(Dense(self.hidden, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return at_least_float32(Dense(self.num_classes, dtype=self.dtype)(x))


def _halve(x: jax.Array) -> jax.Array:
    """Maxima of 2x2 pixels; with `nn.max_pool` a training step on a CPU takes 1.5 times as long."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
