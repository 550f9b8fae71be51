"""Batch norm whose sums over the batch are fast on a CPU for any number of features.

Linen's is the model, and its variables have the same names. Linen's sums are slow on a CPU where there are many
features (`ops/_cpu_rows.py` says how slow), and it has no place for others.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from buresgan_jax.ops import repeat_row, sum_rows


class BatchNorm(nn.Module):
    """Batch norm over all axes but the last, with the defaults of Keras, synchronized over the devices of `axis_name`.

    Statistics are computed in float32 or better, whatever `dtype` is. The moving variance averages the biased
    variance (divisor n); Keras does so after dense layers, and its fused kernel uses divisor n - 1 after convolutions,
    where n = batch x height x width is a thousand or more.

    Attributes:
        train: whether to use the batch's statistics and update the moving ones (collection `batch_stats`: `mean` and
            `var`, shape `[channels]`), or to use the moving ones.
        axis_name: axis of the devices over which the statistics are averaged.
        eps: added to the variance.
        momentum: weight of the old moving statistics in an update.
        dtype: dtype of the outputs. Default: the common one of inputs and parameters, which are float32.
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
        """Mean and biased variance of the global batch, each `[channels]`."""
        rows = rows.astype(jnp.promote_types(rows.dtype, jnp.float32))
        moments = jnp.stack([sum_rows(rows), sum_rows(jnp.square(rows))]) / rows.shape[0]
        if self.axis_name is not None and not self.is_initializing():
            moments = lax.pmean(moments, self.axis_name)
        mean, mean_of_squares = moments
        return mean, jnp.maximum(mean_of_squares - jnp.square(mean), 0)
