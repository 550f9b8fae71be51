"""Inception score and inception variance: what a classifier says of generated images."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax, xlogy

from buresgan_jax.metrics import inputs

_SUM_TOLERANCE = 1e-3  # of probabilities in half precision


class ClassStatistics(NamedTuple):
    """Sums over examples, in float64: parts of a set are merged by `merge_class_statistics`.

    Attributes:
        num_samples: how many examples.
        probabilities: sum of their class probabilities, `[classes]`.
        negative_entropy: sum over examples of `sum_c p_c log p_c`, in nats.
    """

    num_samples: int
    probabilities: np.ndarray
    negative_entropy: float


class OverSplits(NamedTuple):
    """A number computed on each of several parts.

    Attributes:
        mean: over the parts.
        std: over the parts, divided by their number (no Bessel correction); 0 for one part.
    """

    mean: float
    std: float


def inception_score(
    logits: ArrayLike | None = None,
    *,
    probabilities: ArrayLike | None = None,
    num_splits: int = 10,
    shuffle_seed: int | None = 2020,
) -> OverSplits:
    """Inception score of generated images: between 1 and the number of classes.

    Args:
        logits: before the softmax, shape `[n, classes]`, at least `num_splits` examples.
        probabilities: instead of logits; not negative, each row with sum 1 up to 1e-3.
        num_splits: the score is computed on so many contiguous parts. It grows with their size: 10 parts of 5,000
            images are the custom; the BuresGAN authors use one part.
        shuffle_seed: the order of the examples before they are split, as torch-fidelity shuffles them, whose default
            this is. None: the order they come in.

    Raises:
        ValueError: none or both are given, fewer examples than splits, not finite, no `[n, classes]`, no probabilities.

    Note:
        For images in batches see `class_statistics`.

    References:
        Salimans et al., "Improved techniques for training GANs", NeurIPS 2016. https://arxiv.org/abs/1606.03498
    """
    inputs.check_positive_integer(num_splits=num_splits)
    kind, rows = _checked(logits, probabilities, num_splits)
    if shuffle_seed is not None:
        random = np.random.RandomState(shuffle_seed)  # noqa: NPY002 : as torch-fidelity, whose stream is frozen
        rows = rows[random.permutation(len(rows))]
    return _over_splits(
        rows, num_splits, lambda part: inception_score_from_statistics(class_statistics(**{kind: part}))
    )


def inception_variance(
    logits: ArrayLike | None = None, *, probabilities: ArrayLike | None = None, num_splits: int = 10
) -> OverSplits:
    """Standard deviation of each class's probability over the images, on average over the classes: at most 1/2.

    Low where images are alike, and where none is of a class that the classifier is sure of.

    Args:
        logits: of generated images, before the softmax, shape `[n, classes]`, at least two examples per split.
        probabilities: instead of logits; not negative, each row with sum 1 up to 1e-3.
        num_splits: contiguous parts, in the order the examples come in.

    Raises:
        ValueError: none or both are given, fewer than two examples per split, not finite, no `[n, classes]`, no
            probabilities.

    References:
        The code of MaEM-GAN (float64 here); its tables show these numbers times 1000.
    """
    inputs.check_positive_integer(num_splits=num_splits)
    kind, rows = _checked(logits, probabilities, 2 * num_splits)
    shares = softmax(rows.astype(np.float64), axis=1) if kind == "logits" else rows.astype(np.float64)
    return _over_splits(shares, num_splits, lambda part: part.std(0).mean())


def class_statistics(*, logits: ArrayLike | None = None, probabilities: ArrayLike | None = None) -> ClassStatistics:
    """What the score needs of one batch, in float64.

    Args:
        logits: shape `[n, classes]`.
        probabilities: instead of logits; not negative, each row with sum 1 up to 1e-3.

    Raises:
        ValueError: none or both are given, not finite, no `[n, classes]`, or no probabilities.
    """
    kind, rows = _checked(logits, probabilities, 1)
    rows = rows.astype(np.float64)
    if kind == "logits":
        return _statistics_of_logits(rows)
    return ClassStatistics(len(rows), rows.sum(0), float(xlogy(rows, rows).sum()))


def merge_class_statistics(first: ClassStatistics, second: ClassStatistics) -> ClassStatistics:
    """Statistics of both sets together.

    Raises:
        ValueError: the numbers of classes differ.
    """
    if first.probabilities.shape != second.probabilities.shape:
        numbers = f"{len(first.probabilities)} and {len(second.probabilities)}"
        raise ValueError(f"Both parts must have one number of classes, got {numbers}.")
    return ClassStatistics(*(one + other for one, other in zip(first, second, strict=True)))


def inception_score_from_statistics(statistics: ClassStatistics) -> float:
    """`exp(mean_x KL(p(c|x) || mean_x p(c|x)))` of one split."""
    mean = statistics.probabilities / statistics.num_samples
    divergence = statistics.negative_entropy / statistics.num_samples - xlogy(mean, mean).sum()
    return float(np.exp(max(divergence, 0.0)))


def _over_splits(rows, num_splits, function):
    bounds = np.arange(num_splits + 1) * len(rows) // num_splits
    values = [function(rows[start:stop]) for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
    return OverSplits(float(np.mean(values)), float(np.std(values)))


def _statistics_of_logits(logits):
    # With p = e^l / z: sum p log p = sum e^l l / z - log z. So the probabilities themselves are never formed.
    logits -= logits.max(1, keepdims=True)
    weights = np.exp(logits)
    sums = weights.sum(1)
    negative_entropies = np.einsum("nc,nc->n", weights, logits) / sums - np.log(sums)
    return ClassStatistics(len(logits), (1 / sums) @ weights, float(negative_entropies.sum()))


def _checked(logits, probabilities, min_samples):
    """Which of both was given, and it."""
    if (logits is None) == (probabilities is None):
        raise ValueError("This metric takes either logits or probabilities, and not both.")
    if logits is not None:
        return "logits", inputs.check_features("logits", logits, min_samples=min_samples, lower="num_splits")
    shares = inputs.check_features("probabilities", probabilities, min_samples=min_samples, lower="num_splits")
    sums = shares.sum(1, dtype=np.float64)
    if (shares < 0).any() or (abs(sums - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            "probabilities must not be negative and each row must add up to 1; got values from "
            f"{shares.min():.6g} and sums from {sums.min():.6g} to {sums.max():.6g}. For logits use logits=."
        )
    return "probabilities", shares
