"""Losses of MMD-GANs: attractive, repulsive, and the family between and beyond them."""

import functools

import jax
import jax.numpy as jnp

from buresgan_jax import declarations
from buresgan_jax.declarations import Option
from buresgan_jax.distances import kernels
from buresgan_jax.distances.mmd import Kernel, mean_kernel
from buresgan_jax.losses._base import AdversarialLoss

MMD_KERNELS: dict[str, Kernel] = {
    "gaussian": kernels.gaussian_kernel,
    "gaussian_mixture": functools.partial(kernels.gaussian_kernel, scales=kernels.GAUSSIAN_MIXTURE),
    "rational_quadratic": kernels.rational_quadratic_kernel,
    "linear": kernels.linear_kernel,
}


def mmd_generator_loss(
    real_outputs: jax.Array,
    fake_outputs: jax.Array,
    *,
    kernel: Kernel = kernels.gaussian_kernel,
    unbiased: bool = True,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Computes the squared MMD between the discriminator's outputs, as `squared_mmd` does.

    Args:
        real_outputs: The discriminator's outputs on real examples, `[batch, output_dim]`.
        fake_outputs: Its outputs on fakes, `[batch, output_dim]`.
        kernel: See `squared_mmd`.
        unbiased: See `squared_mmd`.

    Returns:
        Scalar, and the mean kernels `real_kernel`, `fake_kernel` and `cross_kernel`.
    """
    means = {
        "real_kernel": mean_kernel(real_outputs, None if unbiased else real_outputs, kernel=kernel),
        "fake_kernel": mean_kernel(fake_outputs, None if unbiased else fake_outputs, kernel=kernel),
        "cross_kernel": mean_kernel(real_outputs, fake_outputs, kernel=kernel),
    }
    return means["real_kernel"] + means["fake_kernel"] - 2 * means["cross_kernel"], means


def mmd_discriminator_loss(
    real_outputs: jax.Array,
    fake_outputs: jax.Array,
    *,
    repulsion: float = 1.0,
    kernel: Kernel = kernels.gaussian_kernel,
    bounds: tuple[float, float] | None = None,
    unbiased: bool = True,
) -> jax.Array:
    """Computes `repulsion E_xx - (repulsion - 1) E_xy - E_yy` of the mean kernels E between real x and fake y.

    With a repulsion of 1 (the repulsive loss) real outputs repel each other and fake ones attract each other. With -1
    (the attractive loss, minus the squared MMD) each kind attracts its own and repels the other. The weights add up to
    0, so the loss is 0 in expectation where the fakes are drawn from the data, for every discriminator.

    Args:
        real_outputs: The discriminator's outputs on real examples, `[batch, output_dim]`.
        fake_outputs: Its outputs on fakes, `[batch, output_dim]`.
        repulsion: The weight of pairs of real examples, the paper's lambda.
        kernel: Function `(x [n, dim], y [m, dim]) -> [n, m]`; with bounds, it takes `lower_bound` and `upper_bound`.
        bounds: Squared distances below the first bound attract no more, and those above the second repel no more.
            Default: no bounds.
        unbiased: See `squared_mmd`.

    Returns:
        Scalar.
    """
    attracts, repels = kernel, kernel
    if bounds is not None:
        attracts = functools.partial(kernel, lower_bound=bounds[0])
        repels = functools.partial(kernel, upper_bound=bounds[1])

    def within(outputs, kernel):
        return mean_kernel(outputs, None if unbiased else outputs, kernel=kernel)

    loss = -within(fake_outputs, attracts)
    if repulsion != 0:
        loss += repulsion * within(real_outputs, repels if repulsion > 0 else attracts)
    if repulsion != 1:
        # Beyond 1 it pulls real and fake together, which needs no bound: they may coincide.
        loss -= (repulsion - 1) * mean_kernel(real_outputs, fake_outputs, kernel=repels if repulsion < 1 else kernel)
    return loss


@declarations.loss(
    "mmd",
    "kernel distance between outputs, of which there should be several (discriminator.output_dim)",
    Option(
        "repulsion", 1.0, "lambda: 1 repulsive, -1 attractive discriminator; or another number", least=-100, most=100
    ),
    Option("kernel", "gaussian", "kernel of both players", choices=tuple(MMD_KERNELS)),
    Option(
        "scale",
        1.0,
        "width of the kernel gaussian, in units of the outputs",
        least=1e-6,
        read_with=("loss.kernel", ("gaussian",)),
    ),
    Option("bounded", False, "bound the squared distances in the discriminator's loss (RBF-B)"),
    Option(
        "lower_bound",
        0.25,
        "squared distance below which nothing attracts",
        least=0,
        read_with=("loss.bounded", (True,)),
    ),
    Option(
        "upper_bound", 4.0, "squared distance above which nothing repels", least=0, read_with=("loss.bounded", (True,))
    ),
    Option(
        "estimator",
        "unbiased",
        "of means over pairs: without or with pairs of a row with itself",
        choices=("unbiased", "biased"),
    ),
)
def mmd(
    *,
    repulsion: float = 1.0,
    kernel: str = "gaussian",
    scale: float = 1.0,
    bounded: bool = False,
    lower_bound: float = 0.25,
    upper_bound: float = 4.0,
    estimator: str = "unbiased",
) -> AdversarialLoss:
    """Returns the losses of MMD-GANs. The generator minimizes the squared MMD of outputs, always without bounds.

    The mean kernels `real_kernel`, `fake_kernel` and `cross_kernel` are logged, as shares of the kernel's value at
    distance 0. A healthy run keeps them well inside (0, 1). Unlike in the authors' code, the cross mean is over all
    pairs, which has less variance.

    Args:
        repulsion: See `mmd_discriminator_loss`.
        kernel: `gaussian`; `gaussian_mixture` with the widths 1, sqrt 2, 2, sqrt 8, 4; `rational_quadratic` with the
            exponents 0.2, 0.5, 1, 2, 5; or `linear`.
        scale: Width of the kernel `gaussian`.
        bounded: Whether the discriminator's loss has bounds.
        lower_bound: The first of them.
        upper_bound: The second of them.
        estimator: `unbiased` or `biased`.

    Raises:
        ValueError: The bounds are not in order, or the linear kernel is to be bounded.

    References:
        Wang et al., "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019.
        https://arxiv.org/abs/1812.09916. Li et al., "MMD GAN: Towards Deeper Understanding of Moment Matching
        Network", NeurIPS 2017. https://arxiv.org/abs/1705.08584 (the attractive loss).
    """
    if bounded and kernel == "linear":
        raise ValueError("The linear kernel has no distances to bound. Set config.loss.bounded=False.")
    if bounded and lower_bound >= upper_bound:
        raise ValueError(f"config.loss.lower_bound {lower_bound} must be below config.loss.upper_bound {upper_bound}.")
    function = MMD_KERNELS[kernel]
    if kernel == "gaussian":
        function = functools.partial(function, scales=(scale,))
    unbiased = estimator == "unbiased"
    discriminator = functools.partial(
        mmd_discriminator_loss,
        repulsion=repulsion,
        kernel=function,
        bounds=(lower_bound, upper_bound) if bounded else None,
        unbiased=unbiased,
    )

    def generator(real_outputs, fake_outputs):
        value, means = mmd_generator_loss(real_outputs, fake_outputs, kernel=function, unbiased=unbiased)
        same = jnp.zeros((1, 1), value.dtype)
        largest = 1 if kernel == "linear" else function(same, same)[0, 0]
        return value, {name: mean / largest for name, mean in means.items()}

    return AdversarialLoss(discriminator, generator)
