"""Batch norm that is fast on a CPU for any number of channels.

It is modeled on Linen's and has variables of the same names. Linen's sums over the batch are slow on a CPU for many
channels (`ops/_cpu_rows.py` gives the times), and Linen does not let its user replace them.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from buresgan_jax.ops import repeat_row, sum_rows


class BatchNorm(nn.Module):
    """Batch norm over all axes except the last, with the defaults of Keras, synchronized over the devices.

    Statistics are computed in at least float32 for every `dtype`. The moving variance averages the biased variance
    (divisor n). Keras does the same after dense layers; after convolutions, where n = batch x height x width is a
    thousand or more, its fused kernel uses the divisor n - 1.

    Attributes:
        train: True uses the batch's statistics and updates the moving ones (collection `batch_stats`: `mean` and `var`,
            shape `[channels]`); False uses the moving ones.
        axis_name: Name of the device axis over which the statistics are averaged.
        eps: Added to the variance.
        momentum: Weight of the old moving statistics in an update.
        dtype: Dtype of the outputs. Default: the common dtype of inputs and parameters, which are float32.
    """

    train: bool
    axis_name: str | None = None
    eps: float = 1e-3
    momentum: float = 0.99
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalizes `[batch, ..., channels]`."""
        x = jnp.asarray(x)
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones_init(), channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), channels, jnp.float32)
        moving_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        moving_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        rows = x.reshape(-1, *channels)
        if self.train:
            mean, var = self._moments(rows)
            if not self.is_initializing():
                for moving, new in ((moving_mean, mean), (moving_var, var)):
                    moving.value = self.momentum * moving.value + (1 - self.momentum) * new
        else:
            mean, var = moving_mean.value, moving_var.value
        repeat = functools.partial(repeat_row, num_rows=rows.shape[0])
        y = (rows - repeat(mean)) * repeat(lax.rsqrt(var + self.eps) * scale) + repeat(bias)
        return y.reshape(x.shape).astype(nn.dtypes.canonicalize_dtype(x, scale, bias, dtype=self.dtype))

    def _moments(self, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Computes mean and biased variance of the global batch, each `[channels]`."""
        rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
        moments = jnp.stack([sum_rows(rows), sum_rows(jnp.square(rows))]) / rows.shape[0]
        if self.axis_name is not None and not self.is_initializing():
            moments = lax.pmean(moments, self.axis_name)
        mean, mean_of_squares = moments
        return mean, jnp.maximum(mean_of_squares - jnp.square(mean), 0)
