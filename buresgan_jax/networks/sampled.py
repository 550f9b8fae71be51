"""Discriminators whose outputs are drawn: any network with twice the outputs gives their means and variances."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from buresgan_jax import ops
from buresgan_jax.networks.layers import Discriminated

# DIsoMap applies the network to mixtures far from the data, where the logarithms of variances grow with the distance.
# Without a bound, the penalty averaged 21,000 in the first 50 steps of one run and 4e8 in 50 steps of another. That
# fills Adam's second moment, and the next thousand steps are close to 0.
_MAX_LOG_VARIANCE = 2.0


class SampledOutputs(nn.Module):
    """A discriminator whose outputs are normally distributed, independently for each sample and pass.

    Attributes:
        network: The network, called `(x, *, train) -> (outputs, features, extra)`. The first half of its outputs are
            means. The second half, l, gives the variances exp(2 - softplus(2 - l)): near exp(l) where l is small, and
            below exp(2) = 7.4.
        axis_name: Name of the device axis, over which the noise is drawn for the global batch.

    References:
        Liu et al., "Combating Mode Collapse in GANs via Manifold Entropy Estimation", AAAI 2023, the authors' code.
        https://arxiv.org/abs/2208.12055. There, outputs are drawn in inference mode too, and variances have no bound.
    """

    network: nn.Module
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Any, *, train: bool) -> Discriminated:
        """Applies the network and draws the outputs; in inference mode, the outputs are the means.

        Returns:
            Outputs and features of the network, and its further heads with `mean`, `[batch, output_dim]`.
        """
        both, features, extra = self.network(x, train=train)
        mean, log_variance = jnp.split(both, 2, axis=-1)
        outputs = mean
        if train and not self.is_initializing():
            noise = ops.normal_rows(self.make_rng("noise"), mean.shape, axis_name=self.axis_name)
            log_variance = _MAX_LOG_VARIANCE - jax.nn.softplus(_MAX_LOG_VARIANCE - log_variance)
            outputs = mean + jnp.exp(log_variance / 2) * noise
        return outputs, features, extra | {"mean": mean}

    @property
    def output_dim(self) -> int:
        """Dimension of the outputs."""
        return self.network.output_dim // 2
