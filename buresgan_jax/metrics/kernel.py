"""Kernel distance between two sets of features: the unbiased squared MMD with a cubic kernel."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from buresgan_jax.metrics import inputs


class KernelDistance(NamedTuple):
    """Summary of the estimates of all subsets.

    Attributes:
        mean: Mean over the subsets. It can be slightly negative, because the estimate is unbiased.
        std: Standard deviation over the subsets, with their number as divisor (no Bessel correction).
        standard_error: Standard error of `mean` as an average over subsets, `std / sqrt(num_subsets)`. It does not
            include the variation between sets of samples.
    """

    mean: float
    std: float
    standard_error: float


def kernel_distance(
    real: ArrayLike, fake: ArrayLike, *, num_subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Computes the squared maximum mean discrepancy between features, averaged over random subsets.

    On features of Inception-v3 this is the kernel inception distance.

    Args:
        real: Real features, shape `[n, dim]`, at least `subset_size` examples.
        fake: Fake features, shape `[m, dim]`, at least `subset_size` examples.
        num_subsets: Number of pairs of subsets.
        subset_size: Number of real and of fake examples in a subset, at least 2.
        seed: Seed of the subsets. The subsets and the default seed are those of torch-fidelity.

    Returns:
        Mean, standard deviation and standard error. The mean is unbiased: values of different numbers of examples can
        be compared.

    Raises:
        ValueError: There are fewer examples than `subset_size`, the dims differ, a value is not finite, or an option is
            below its minimum.

    Note:
        Float64. Cost: about `4 num_subsets subset_size^2 dim` multiplications and additions. Memory: three matrices
        `[subset_size, subset_size]` in addition to the features.

    References:
        Binkowski et al., "Demystifying MMD GANs", ICLR 2018. https://arxiv.org/abs/1801.01401
    """
    inputs.check_positive_integer(num_subsets=num_subsets, subset_size=subset_size)
    if subset_size < 2:
        raise ValueError(f"subset_size must be at least 2, got {subset_size}.")
    real = inputs.check_features("real", real, min_samples=subset_size, lower="subset_size")
    fake = inputs.check_features("fake", fake, min_samples=subset_size, lower="subset_size")
    inputs.check_same_dim(real.shape[1], fake.shape[1])
    pairs = subset_pairs(len(real), len(fake), num_subsets=num_subsets, subset_size=subset_size, seed=seed)
    return summarize_subsets(unbiased_squared_mmd(real[rows], fake[others]) for rows, others in pairs)


def subset_pairs(
    num_real: int, num_fake: int, *, num_subsets: int, subset_size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the real and the fake rows of each subset, drawn without replacement. The fake rows are drawn first."""
    random = np.random.RandomState(seed)  # noqa: NPY002 : the generator of torch-fidelity, whose stream is frozen
    for _ in range(num_subsets):
        of_fake = random.choice(num_fake, subset_size, replace=False)
        yield random.choice(num_real, subset_size, replace=False), of_fake


def unbiased_squared_mmd(real: ArrayLike, fake: ArrayLike) -> float:
    """Computes the unbiased estimate of the squared MMD with the kernel `(x y / dim + 1)^3`, in float64.

    Args:
        real: Real features, shape `[n, dim]`, at least 2 examples.
        fake: Fake features, shape `[m, dim]`, at least 2 examples; n and m may differ.

    Raises:
        ValueError: There are fewer than 2 examples, the dims differ, or a value is not finite.
    """
    real = inputs.check_features("real", real, min_samples=2).astype(np.float64)
    fake = inputs.check_features("fake", fake, min_samples=2).astype(np.float64)
    inputs.check_same_dim(real.shape[1], fake.shape[1])
    return _mean_off_diagonal(real) + _mean_off_diagonal(fake) - 2 * float(_cubic_kernel(real, fake).mean())


def summarize_subsets(estimates: Iterable[float]) -> KernelDistance:
    """Computes mean, standard deviation and standard error of `unbiased_squared_mmd` over several subsets."""
    estimates = np.fromiter(estimates, np.float64)
    std = float(estimates.std())
    return KernelDistance(float(estimates.mean()), std, std / len(estimates) ** 0.5)


def _mean_off_diagonal(features):
    kernel, num = _cubic_kernel(features, features), len(features)
    return float((kernel.sum() - np.trace(kernel)) / (num * (num - 1)))


def _cubic_kernel(x, y):
    base = x @ y.T  # NumPy does half the work if y is x
    base /= x.shape[1]
    base += 1
    return base * base * base
