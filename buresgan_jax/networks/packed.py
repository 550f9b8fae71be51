"""PacGAN's discriminator: one judgment of several samples at once."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class Packed(nn.Module):
    """Any discriminator, on packs of neighboring samples joined along their last axis.

    Packs are formed within the rows at hand, in order, so that the shares of several devices, each a multiple of the
    pack, make the packs of the whole batch.

    Attributes:
        discriminator: judges `[batch / pack, ..., pack * last]`.
        pack: samples in a pack.

    References:
        Lin et al., "PacGAN: The Power of Two Samples in Generative Adversarial Networks", NeurIPS 2018.
        https://arxiv.org/abs/1712.04086.
    """

    discriminator: nn.Module
    pack: int

    def __call__(self, x: jax.Array | tuple[jax.Array, ...], *, train: bool) -> tuple[jax.Array, jax.Array]:
        """Judges packs.

        Args:
            x: samples, shape `[batch, ..., last]`, or a tuple of such arrays, each of which is packed.
            train: as for the discriminator.

        Returns:
            Outputs, shape `[batch / pack, output_dim]`, and features, shape `[batch / pack, dim]`.

        Raises:
            ValueError: the batch is not a multiple of the pack.
        """
        if self.is_initializing():  # on any number of examples
            x = jax.tree.map(lambda array: jnp.repeat(array, self.pack, axis=0), x)
        return self.discriminator(jax.tree.map(self._join, x), train=train)

    def _join(self, x):
        if x.shape[0] % self.pack:
            raise ValueError(f"A batch of {x.shape[0]} cannot be cut into packs of {self.pack}.")
        packs = x.reshape(-1, self.pack, *x.shape[1:])
        joined = jnp.moveaxis(packs, 1, -2)
        return joined.reshape(*joined.shape[:-2], -1)
