"""The entropy terms of MaEM-GAN: codes keep away from their nearest neighbors in a buffer of earlier codes."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.distances import checks, squared_neighbor_distances
from buresgan_jax.distances.entropy import log_neighbor_distances
from buresgan_jax.distances.public import Array, explained, in_float32
from buresgan_jax.errors import UserError
from buresgan_jax.penalties._memory import ring_memory

EntropyMode = Literal["mean_log", "log_mean", "cosine"]
ENTROPY_MODES: tuple[EntropyMode, ...] = ("mean_log", "log_mean", "cosine")


@explained
@in_float32
def entropy_penalty(
    codes: Array,
    others: Array,
    count: Array | int,
    *,
    mode: EntropyMode = "mean_log",
    neighbor: int = 1,
    norm_weight: float = 0.0,
) -> jax.Array:
    """Computes how near codes are to their neighbors among other codes; its minimum is the largest entropy.

    Args:
        codes: Codes, `[n, dim]`, floating dtype. They get the gradient.
        others: Codes to keep away from, `[m, dim]`, same dtype, treated as constants.
        count: Number of leading rows of `others` that count.
        mode: `mean_log`: minus the mean logarithm of the distances, which is minus the estimated entropy by `dim` and
            a constant; near duplicates get the largest gradient. `log_mean`: minus the logarithm of the mean squared
            distance per dimension; isolated codes get the largest gradient. `cosine`: the mean cosine.
        neighbor: 1 for the nearest neighbor, k for the k-th one.
        norm_weight: With `cosine`, multiplies the mean norm of the codes, which is added.

    Returns:
        Scalar, same dtype; 0 if fewer than `neighbor` rows count. Value and gradient are finite for equal codes.

    Raises:
        ValueError: An array does not have two axes, the dims differ, or an option is out of range.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost O(n m dim).

    References:
        Liu et al., "Combating Mode Collapse in GANs via Manifold Entropy Estimation", AAAI 2023.
        https://arxiv.org/abs/2208.12055. Their eq. 9 and 11 are `mean_log`, eq. 8 is `cosine`, their code has
        `log_mean` with a buffer of a single batch.
    """
    checks.check_choice("mode", mode, ENTROPY_MODES)
    others = jax.lax.stop_gradient(others)
    if mode == "mean_log":
        value = -jnp.mean(log_neighbor_distances(codes, others, count, neighbor=neighbor))
    else:
        metric = "cosine" if mode == "cosine" else "euclidean"
        squared = squared_neighbor_distances(codes, others, count, neighbor=neighbor, metric=metric)
        if mode == "log_mean":
            value = -jnp.log(jnp.mean(squared) / codes.shape[1] + jnp.finfo(codes.dtype).tiny)
        else:
            value = jnp.mean(1 - squared / 2) + norm_weight * jnp.mean(_norms(codes))
    return jnp.where(count < neighbor, 0, value)


def _norms(x):
    return jnp.sqrt(jnp.sum(x**2, axis=1) + jnp.finfo(x.dtype).tiny)


def _codes(outputs, *, codes, player):
    """The codes of a player's samples: of the fakes for the generator, of the real examples for the discriminator."""
    who = "fake" if player == "generator" else "real"
    if codes != "mean":
        return getattr(outputs, f"{who}_{codes}")
    heads = getattr(outputs, f"{who}_extra")
    if codes not in heads:
        raise UserError(
            "The discriminator gives no mean of its outputs, which an entropy term is to compare. Set "
            "config.discriminator.sampled_outputs=True, or the term's codes to outputs or features."
        )
    return heads[codes]


def _declared(name, player, meaning):
    def check(values):
        if values[f"{name}.neighbor"] > values[f"{name}.capacity"]:
            raise ValueError(f"config.{name}.neighbor must be at most config.{name}.capacity.")

    return declarations.term(
        name,
        meaning,
        Option(
            "codes",
            "features",
            "of the discriminator to compare; mean: of sampled outputs",
            choices=("features", "outputs", "mean"),
        ),
        Option("capacity", 1024, "codes in the buffer", least=1, smoke=16),
        Option(
            "mode", "mean_log", "mean logarithm of distances, logarithm of the mean, or cosine", choices=ENTROPY_MODES
        ),
        Option("neighbor", 1, "k of the k-th nearest neighbor", least=1),
        Option("norm_weight", 0.0, "multiplies the codes' norms", least=0, read_with=(f"{name}.mode", ("cosine",))),
        player=player,
        weight=0.01,
        check=check,
        memory=functools.partial(_memory, player=player),
    )


def _memory(*, player, codes, capacity, **options):
    del options
    return ring_memory(capacity, functools.partial(_codes, codes=codes, player=player))


def _penalty(step, ring, player, codes, options):
    return entropy_penalty(_codes(step.outputs, codes=codes, player=player), ring.rows, ring.count, **options)


@_declared("entropy", "generator", "codes of fakes keep away from their nearest neighbors (MaEM-GAN)")
def entropy_term(step, key, *, codes, capacity, **options):
    """Computes `entropy_penalty` of the fakes of the global batch, as a term of the generator."""
    del key, capacity
    return _penalty(step, step.state.buffers["entropy"], "generator", codes, options)


@_declared("real_entropy", "discriminator", "codes of real examples keep away from their nearest neighbors (MaEM-GAN)")
def real_entropy_term(step, key, *, codes, capacity, **options):
    """Computes `entropy_penalty` of the real examples of the global batch, as a term of the discriminator."""
    del key, capacity
    return _penalty(step, step.state.buffers["real_entropy"], "discriminator", codes, options)
