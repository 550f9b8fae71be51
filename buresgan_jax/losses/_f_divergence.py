"""f-GAN losses: the discriminator (the critic) and the generator each by a divergence of their own."""

import math

import jax
import jax.numpy as jnp

from buresgan_jax import declarations, divergences
from buresgan_jax.declarations import Option
from buresgan_jax.divergences import DIVERGENCES, Divergence
from buresgan_jax.divergences.divergence import at_least_float32
from buresgan_jax.errors import choose
from buresgan_jax.losses._base import AdversarialLoss

_POWER = "power"
_CHOICES = (*DIVERGENCES, _POWER)


def f_gan_losses(
    critic: Divergence, generator: Divergence, *, real_share: float = 0.5, clip: float | None = None
) -> AdversarialLoss:
    """Makes the losses of a hybrid f-GAN of any two divergences, such as your own.

    The critic minimizes `-2 (real_share E_p a(d) - (1 - real_share) E_q b(d))` with the scores a and b of its
    divergence, so that its optimal logit d is `log(p / q) + log(real_share / (1 - real_share))` for every one of them.
    The generator minimizes `-E_q b(d - shift)` with the b of its own divergence and that last logarithm as the shift.
    For an optimal critic the gradient is that of the generator's divergence; its value is not.

    Args:
        critic: The critic's divergence.
        generator: The generator's divergence.
        real_share: Weight of the real examples in the critic's loss, above 0 and below 1.
        clip: Size of a logit that is clipped on the sides where a score grows like e^|d|, above 0. Default: 30, or 20
            for e^(2 |d|), so that the losses are finite up to logits of 1e20. A clipped sample still moves, along the
            tangent of the score; only where it raises the critic's objective, it counts as a sample at the limit. The
            critic then estimates log ratios up to the limit.

    Returns:
        The losses, computed in float32 for float16 and bfloat16 logits. The shares of samples that were clipped are
        logged as `discriminator_clipped_share` and `generator_clipped_share`.

    Raises:
        ValueError: The real share is not between 0 and 1, or the clip is not positive.
    """
    if not 0 < real_share < 1:
        raise ValueError(f"real_share must be above 0 and below 1, got {real_share}. Set config.loss.real_share=0.5.")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be above 0, got {clip}. Set config.loss.clip=None for the default.")
    shift = math.log(real_share / (1 - real_share))
    both, low_or_high = _limits(critic.logit_range, clip), _limits(generator.fake_logit_range, clip)

    def critic_loss(real_outputs, fake_outputs):
        real, fake = at_least_float32(real_outputs), at_least_float32(fake_outputs)
        low, high = both
        real_score = _score(critic.real_score, jnp.minimum(real, high), both)
        fake_score = _score(critic.fake_score, jnp.maximum(fake, low), both)
        value = -2 * (real_share * real_score - (1 - real_share) * fake_score)
        share = (_share_beyond(real, both) + _share_beyond(fake, both)) / 2
        return value, {"discriminator_clipped_share": share}

    def generator_loss(real_outputs, fake_outputs):
        del real_outputs
        d = log_ratio(fake_outputs)
        value = -_score(generator.fake_score, d, low_or_high)
        return value, {"generator_clipped_share": _share_beyond(d, low_or_high)}

    def log_ratio(outputs):
        return at_least_float32(outputs) - shift

    return AdversarialLoss(critic_loss, generator_loss, log_ratio)


def _limits(ends, clip):
    return tuple(math.copysign(clip, end) if clip is not None and math.isfinite(end) else end for end in ends)


def _score(function, logits, limits):
    """The mean score of logits, which goes on along its tangents beyond the limits."""
    inside = jnp.clip(logits, *limits)
    (tangent,) = jax.vjp(function, jax.lax.stop_gradient(inside))[1](jnp.ones_like(inside))
    return jnp.mean(function(inside) + tangent * (logits - inside))


def _share_beyond(logits, limits):
    return jnp.mean((logits < limits[0]) | (logits > limits[1]))


@declarations.loss(
    "f_gan",
    "an f-divergence for each player; softened_reverse_kl against jensen_shannon is the non-saturating GAN",
    Option("critic", "jensen_shannon", "the divergence that the discriminator estimates", choices=_CHOICES),
    Option("generator", "softened_reverse_kl", "the divergence that the generator minimizes", choices=_CHOICES),
    Option(
        "critic_exponent", 1.0, "c of the critic's f'' = u^-c", least=-10, most=10, read_with=("loss.critic", (_POWER,))
    ),
    Option(
        "generator_exponent",
        1.0,
        "c of the generator's f'' = u^-c",
        least=-10,
        most=10,
        read_with=("loss.generator", (_POWER,)),
    ),
    Option(
        "real_share",
        0.5,
        "weight of real examples in the critic's loss; the generator's corrects it",
        least=1e-6,
        below=1,
    ),
    Option(
        "clip",
        None,
        "size of a logit clipped where scores grow like e^|d|; None: 30, or 20 for e^(2|d|)",
        float,
        least=1e-3,
    ),
)
def f_gan(
    *,
    critic: str = "jensen_shannon",
    generator: str = "softened_reverse_kl",
    critic_exponent: float = 1.0,
    generator_exponent: float = 1.0,
    real_share: float = 0.5,
    clip: float | None = None,
) -> AdversarialLoss:
    """Returns the losses of `f_gan_losses` of two divergences by name.

    The losses are in canonical form, `f''(1) = 1`: with the default divergences the generator's is twice, and the
    critic's four times, the `non_saturating` one, but for a constant.

    Args:
        critic: A key of `divergences.DIVERGENCES`, or `power`.
        generator: The same for the generator.
        critic_exponent: See `divergences.power`.
        generator_exponent: See `divergences.power`.
        real_share: See `f_gan_losses`.
        clip: See `f_gan_losses`.

    References:
        Nowozin et al., "f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization", NeurIPS
        2016. https://arxiv.org/abs/1606.00709. Shannon et al., "Non-saturating GAN training as divergence
        minimization", 2020. https://arxiv.org/abs/2010.08029.
    """
    return f_gan_losses(
        _named(critic, critic_exponent), _named(generator, generator_exponent), real_share=real_share, clip=clip
    )


def _named(name, exponent):
    found = choose("divergence", name, {**DIVERGENCES, _POWER: None}, "config.loss.critic or config.loss.generator")
    return found or divergences.power(exponent)
