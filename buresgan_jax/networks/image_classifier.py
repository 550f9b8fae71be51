"""A classifier of small images (stacked MNIST: its gray digits), with 1,111,946 parameters for ten digits."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import linen as nn

from buresgan_jax.networks.layers import Conv, Dense, at_least_float32


class ImageClassifier(nn.Module):
    """5x5 convolutions without padding, each followed by 2x2 max pooling and ReLU, and two dense layers.

    Attributes:
        filters: Channels after each convolution.
        hidden: Width of the first dense layer, which is followed by ReLU and dropout with probability 1/2.
        num_classes: Number of classes.
        image_size: Height and width to which images are resized first. Default: they keep their size.
        dtype: Dtype of the computation. Parameters are float32. Default: the common dtype of inputs and parameters.
    """

    filters: Sequence[int] = (32, 64)
    hidden: int = 1024
    num_classes: int = 10
    image_size: int | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Classifies images.

        Args:
            x: Images in [-1, 1], shape `[batch, height, width, channels]`. Every size before a pooling must be even,
                as with 28 and 32 pixels.
            train: Whether to apply dropout, which needs the rng `dropout`.

        Returns:
            Logits, shape `[batch, num_classes]`, at least float32.
        """
        if self.image_size is not None:
            x = jax.image.resize(x, (x.shape[0], self.image_size, self.image_size, x.shape[-1]), "linear")
        for filters in self.filters:
            x = nn.relu(_halve(Conv(filters, padding="VALID", dtype=self.dtype)(x)))
        x = nn.relu(Dense(self.hidden, dtype=self.dtype)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return at_least_float32(Dense(self.num_classes, dtype=self.dtype)(x))


def _halve(x: jax.Array) -> jax.Array:
    """Takes maxima over 2x2 pixels. With `nn.max_pool` a training step on a CPU takes 1.5 times as long."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
