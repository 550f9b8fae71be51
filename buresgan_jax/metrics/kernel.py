"""Kernel distance between two sets of features: the squared MMD with a cubic kernel, without bias."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from buresgan_jax.metrics import inputs


class KernelDistance(NamedTuple):
    """The estimates of all subsets, summed up.

    Attributes:
        mean: over the subsets; can be slightly negative, as an estimate without bias of zero must.
        std: over the subsets, divided by their number (no Bessel correction).
        standard_error: of `mean` as an average over subsets of these features, `std / sqrt(num_subsets)`. What other
            samples would give is not in it.
    """

    mean: float
    std: float
    standard_error: float


def kernel_distance(
    real: ArrayLike, fake: ArrayLike, *, num_subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Squared maximum mean discrepancy between features, averaged over random subsets.

    On the features of Inception-v3 this is the kernel inception distance.

    Args:
        real: shape `[n, dim]`, at least `subset_size` examples.
        fake: shape `[m, dim]`, the same.
        num_subsets: how many pairs of subsets.
        subset_size: examples of each side in a subset, at least 2.
        seed: of the subsets. Equal seeds give the subsets that torch-fidelity draws, whose default this is.

    Returns:
        Mean, standard deviation and standard error. Unbiased: values of different numbers of examples compare.

    Raises:
        ValueError: fewer examples than `subset_size`, dims that differ, not finite, or options below their minimum.

    Note:
        Float64. Cost: about `4 num_subsets subset_size^2 dim` multiplications and additions; holds three matrices
        `[subset_size, subset_size]` beside the features.

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
    """Yields the rows of real and fake of each subset, drawn without replacement, the fakes first."""
    random = np.random.RandomState(seed)  # noqa: NPY002 : the generator of torch-fidelity, whose stream is frozen
    for _ in range(num_subsets):
        of_fake = random.choice(num_fake, subset_size, replace=False)
        yield random.choice(num_real, subset_size, replace=False), of_fake


def unbiased_squared_mmd(real: ArrayLike, fake: ArrayLike) -> float:
    """Estimate without bias of the squared MMD with the kernel `(x y / dim + 1)^3`, in float64.

    Args:
        real: shape `[n, dim]`, at least 2 examples.
        fake: shape `[m, dim]`, the same; n and m may differ.

    Raises:
        ValueError: fewer than 2 examples, dims that differ, not finite.
    """
    real = inputs.check_features("real", real, min_samples=2).astype(np.float64)
    fake = inputs.check_features("fake", fake, min_samples=2).astype(np.float64)
    inputs.check_same_dim(real.shape[1], fake.shape[1])
    return _mean_off_diagonal(real) + _mean_off_diagonal(fake) - 2 * float(_cubic_kernel(real, fake).mean())


def summarize_subsets(estimates: Iterable[float]) -> KernelDistance:
    """Mean, standard deviation and standard error of `unbiased_squared_mmd` of several subsets."""
    estimates = np.fromiter(estimates, np.float64)
    std = float(estimates.std())
    return KernelDistance(float(estimates.mean()), std, std / len(estimates) ** 0.5)


def _mean_off_diagonal(features):
    kernel, num = _cubic_kernel(features, features), len(features)
    return float((kernel.sum() - np.trace(kernel)) / (num * (num - 1)))


def _cubic_kernel(x, y):
    base = x @ y.T  # NumPy halves the work where y is x
    base /= x.shape[1]
    base += 1
    return base * base * base
