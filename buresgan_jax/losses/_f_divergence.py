"""f-GAN losses: the critic and the generator each by a divergence of their own."""

import math

import jax
import jax.numpy as jnp

from buresgan_jax import declarations, divergences
from buresgan_jax.declarations import Option
from buresgan_jax.divergences import DIVERGENCES, Divergence
from buresgan_jax.divergences.divergence import slope
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
        clip: Size of a logit that is clipped, where the score grows like a power of e^|d|. Default: 30, or 20 for
            e^(2 |d|), so that the losses are finite for all finite logits. Beyond, the score goes on along its tangent,
            so that clipped samples still move.

    Returns:
        The losses, computed in float32 for float16 and bfloat16 logits. The shares of samples that were clipped are
        logged as `critic_clipped_share` and `generator_clipped_share`.

    Raises:
        ValueError: The real share is not between 0 and 1.
    """
    if not 0 < real_share < 1:
        raise ValueError(f"real_share must be above 0 and below 1, got {real_share}.")
    shift = math.log(real_share / (1 - real_share))

    def log_ratio(outputs):
        return outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32)) - shift

    def score(divergence, logits, *, of_real):
        """Mean score, and the share of logits that are clipped."""
        function = divergence.real_score if of_real else divergence.fake_score
        limit = divergence.clip(of_real=of_real)
        if not math.isfinite(limit):
            return jnp.mean(function(logits)), jnp.zeros(())
        limit = limit if clip is None else clip
        inside = jnp.clip(logits, -limit, limit)
        tangent = slope(function, jax.lax.stop_gradient(inside)) * (logits - inside)
        return jnp.mean(function(inside) + tangent), jnp.mean(jnp.abs(logits) > limit)

    def critic_loss(real_outputs, fake_outputs):
        real, real_clipped = score(critic, log_ratio(real_outputs) + shift, of_real=True)
        fake, fake_clipped = score(critic, log_ratio(fake_outputs) + shift, of_real=False)
        value = -2 * (real_share * real - (1 - real_share) * fake)
        return value, {"critic_clipped_share": (real_clipped + fake_clipped) / 2}

    def generator_loss(real_outputs, fake_outputs):
        del real_outputs
        fake, clipped = score(generator, log_ratio(fake_outputs), of_real=False)
        return -fake, {"generator_clipped_share": clipped}

    return AdversarialLoss(critic_loss, generator_loss, log_ratio)


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
    Option("real_share", 0.5, "weight of real examples in the critic's loss; the generator's corrects it", least=1e-6),
    Option("clip", None, "size of a logit clipped in scores with e^|d|; None: 30, or 20 for e^(2|d|)", float, least=0),
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
    return divergences.power(exponent) if name == _POWER else DIVERGENCES[name]
