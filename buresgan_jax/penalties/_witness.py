"""The gradient penalty of MMD-GANs, on the witness function."""

from collections.abc import Callable

import jax

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.distances.mmd import Kernel, mmd_witness
from buresgan_jax.losses import MMD_KERNELS
from buresgan_jax.penalties._gradient import gradient_penalty, reject_batch_norm


def witness_gradient_penalty(
    discriminate: Callable[[jax.Array], jax.Array],
    real: jax.Array,
    fake: jax.Array,
    positions: jax.Array,
    *,
    real_outputs: jax.Array,
    fake_outputs: jax.Array,
    kernel: Kernel,
) -> jax.Array:
    """Computes `gradient_penalty` of the witness function of the discriminator's outputs in place of the outputs.

    Args:
        discriminate: See `gradient_penalty`.
        real: Real samples, `[batch, ...]`.
        fake: Fake samples, same shape.
        positions: See `gradient_penalty`.
        real_outputs: Outputs on real samples, `[n, output_dim]`; the witness's means are over them.
        fake_outputs: Outputs on fakes, `[m, output_dim]`.
        kernel: Function `(x [n, dim], y [m, dim]) -> [n, m]`.

    Returns:
        Scalar.

    References:
        Binkowski et al., "Demystifying MMD GANs", ICLR 2018. https://arxiv.org/abs/1801.01401.
    """

    def witness(x):
        return mmd_witness(discriminate(x), real_outputs, fake_outputs, kernel=kernel)[:, None]

    return gradient_penalty(witness, real, fake, positions)


def _check(values):
    reject_batch_norm(values, name="witness gradient penalty")
    own, of_loss = values["witness_gradient_penalty.kernel"], values["loss.kernel"]
    if values["loss.name"] == "mmd" and own != of_loss:
        raise ValueError(
            f"The witness belongs to the loss, whose kernel is {of_loss!r}. Set "
            f"config.witness_gradient_penalty.kernel={of_loss}."
        )
    if values["loss.name"] == "mmd" and own == "gaussian" and values["loss.scale"] != 1:
        raise ValueError("The Gaussian kernel of the witness has the width 1. Set config.loss.scale=1.")


@declarations.term(
    "witness_gradient_penalty",
    "squared deviation of the norm of the MMD witness's gradient from 1, between real and fake samples",
    Option("kernel", "gaussian", "kernel of the witness; the loss's", choices=tuple(MMD_KERNELS)),
    player="discriminator",
    weight=0.1,
    check=_check,
)
def witness_gradient_penalty_term(step, key, *, kernel):
    """Computes `witness_gradient_penalty` at positions drawn for the global batch, as a term of the discriminator."""
    positions = jax.random.uniform(key, step.outputs.real_outputs.shape[:1], step.local.real.dtype)
    return witness_gradient_penalty(
        lambda x: step.discriminate(x)[0],
        step.local.real,
        step.local.fake,
        step.rows(positions),
        real_outputs=step.outputs.real_outputs,
        fake_outputs=step.outputs.fake_outputs,
        kernel=MMD_KERNELS[kernel],
    )
