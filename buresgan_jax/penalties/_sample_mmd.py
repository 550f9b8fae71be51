"""The maximum mean discrepancy of the samples themselves, a term for every method on points."""

import functools

import jax
import jax.numpy as jnp

from buresgan_jax import declarations, distances
from buresgan_jax.declarations import Option
from buresgan_jax.distances.kernels import cauchy_kernel, squared_distances
from buresgan_jax.distances.public import Array, explained, in_float32


@explained
@in_float32
def sample_mmd_penalty(fake: Array, real: Array, *, num_scales: int = 6) -> jax.Array:
    """Computes the squared maximum mean discrepancy of two batches, with kernels as wide as the data's own distances.

    The kernels are Cauchy's, `1 / (1 + d / (2 scale^2))` of squared distances d. Their widths run from the real batch's
    median distance to the nearest neighbor to its root mean square distance between two rows, in equal ratios. Narrow
    kernels shape the inside of modes, wide ones move mass between them.

    Args:
        fake: Samples of the generator, `[n, ...]`, floating dtype; each is flattened. They get the gradient.
        real: Real examples, `[m, ...]`, same dtype, treated as constants.
        num_scales: Number of kernels. With 1, the width is the root mean square distance.

    Returns:
        Scalar, same dtype: the sum over the kernels. It may be negative. The estimate is unbiased for fixed widths;
        here they come from the same real batch. If the real examples are all equal, it is finite.

    Raises:
        ValueError: A batch has fewer than 2 rows.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost O((n + m)^2 (dim + num_scales)).

    References:
        Li et al., "Generative Moment Matching Networks", ICML 2015. https://arxiv.org/abs/1502.02761. The kernels and
        their widths are our choice.
    """
    fake, real = (x.reshape(len(x), -1) for x in (fake, jax.lax.stop_gradient(real)))
    if len(fake) < 2 or len(real) < 2:
        raise ValueError(f"Both batches must have at least 2 rows, got {len(fake)} and {len(real)}.")
    scales = jax.lax.stop_gradient(_scales(real, num_scales))
    return distances.squared_mmd(fake, real, kernel=functools.partial(cauchy_kernel, scales=scales))


def _scales(real, num_scales):
    """Widths of the kernels, `[num_scales]`; at least a thousandth of the longest."""
    squared = squared_distances(real, real)
    longest = jnp.sqrt(jnp.mean(squared))
    longest = jnp.where(longest > 0, longest, 1)
    nearest = jnp.sqrt(jnp.median(jnp.min(jnp.where(jnp.eye(len(real), dtype=bool), jnp.inf, squared), axis=1)))
    nearest = jnp.clip(nearest, 1e-3 * longest, longest)
    return longest * (nearest / longest) ** (jnp.arange(num_scales) / max(num_scales - 1, 1))


@declarations.term(
    "sample_mmd",
    "squared MMD between the samples and the data themselves, for points",
    Option(
        "num_scales",
        6,
        "widths of the kernel, from the nearest neighbors' distance to the longest",
        least=1,
    ),
)
def sample_mmd_term(step, key, *, num_scales):
    """Computes `sample_mmd_penalty` of the global batch, as a term of the generator."""
    del key
    return sample_mmd_penalty(step.outputs.fake, step.outputs.real, num_scales=num_scales)
