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


class InceptionScore(NamedTuple):
    """Over the splits.

    Attributes:
        mean: between 1 and the number of classes.
        std: divided by the number of splits (no Bessel correction); 0 for one split.
    """

    mean: float
    std: float


class InceptionVariance(NamedTuple):
    """Over the splits.

    Attributes:
        mean: between 0 and 1/2.
        std: divided by the number of splits (no Bessel correction).
    """

    mean: float
    std: float


def inception_score(logits: ArrayLike, *, num_splits: int = 10, shuffle_seed: int | None = 2020) -> InceptionScore:
    """Inception score of the logits of generated images.

    Args:
        logits: before the softmax, shape `[n, classes]`, at least `num_splits` examples. For probabilities see
            `class_statistics`.
        num_splits: the score is computed on so many contiguous parts. It grows with their size: 10 parts of 5,000
            images are the custom; the BuresGAN authors use one part.
        shuffle_seed: the order of the examples before they are split, as torch-fidelity shuffles them, whose default
            this is. None: the order they come in.

    Raises:
        ValueError: fewer examples than splits, not finite, no `[n, classes]`.

    References:
        Salimans et al., "Improved techniques for training GANs", NeurIPS 2016. https://arxiv.org/abs/1606.03498
    """
    inputs.check_positive_integer(num_splits=num_splits)
    logits = inputs.check_features("logits", logits, min_samples=num_splits)
    if shuffle_seed is not None:
        random = np.random.RandomState(shuffle_seed)  # noqa: NPY002 : as torch-fidelity, whose stream is frozen
        logits = logits[random.permutation(len(logits))]
    parts = _split(logits, num_splits)
    scores = [inception_score_from_statistics(class_statistics(logits=part)) for part in parts]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_variance(logits: ArrayLike, *, num_splits: int = 10) -> InceptionVariance:
    """Standard deviation of each class's probability over the images, on average over the classes.

    Low where images are alike, and where none is of a class that the classifier is sure of.

    Args:
        logits: of generated images, before the softmax, shape `[n, classes]`, at least two examples per split.
        num_splits: contiguous parts, in the order the examples come in.

    Raises:
        ValueError: fewer than two examples per split, not finite, no `[n, classes]`.

    References:
        The code of MaEM-GAN (float64 here); its tables show these numbers times 1000.
    """
    inputs.check_positive_integer(num_splits=num_splits)
    logits = inputs.check_features("logits", logits, min_samples=2 * num_splits)
    deviations = [softmax(part.astype(np.float64), axis=1).std(0).mean() for part in _split(logits, num_splits)]
    return InceptionVariance(float(np.mean(deviations)), float(np.std(deviations)))


def class_statistics(*, logits: ArrayLike | None = None, probabilities: ArrayLike | None = None) -> ClassStatistics:
    """What the score needs of one batch, in float64.

    Args:
        logits: shape `[n, classes]`.
        probabilities: instead of logits; not negative, each row with sum 1 up to 1e-3.

    Raises:
        ValueError: none or both are given, not finite, no `[n, classes]`, or no probabilities.
    """
    if (logits is None) == (probabilities is None):
        raise ValueError("class_statistics takes either logits or probabilities.")
    if logits is not None:
        return _statistics_of_logits(inputs.check_features("logits", logits).astype(np.float64))
    shares = inputs.check_features("probabilities", probabilities).astype(np.float64)
    _check_probabilities(shares)
    return ClassStatistics(len(shares), shares.sum(0), float(xlogy(shares, shares).sum()))


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


def _split(logits, num_splits):
    bounds = np.arange(num_splits + 1) * len(logits) // num_splits
    return [logits[start:stop] for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]


def _statistics_of_logits(logits):
    # With p = e^l / z: sum p log p = sum e^l l / z - log z. So the probabilities themselves are never formed.
    logits -= logits.max(1, keepdims=True)
    weights = np.exp(logits)
    sums = weights.sum(1)
    negative_entropies = np.einsum("nc,nc->n", weights, logits) / sums - np.log(sums)
    return ClassStatistics(len(logits), (1 / sums) @ weights, float(negative_entropies.sum()))


def _check_probabilities(shares):
    sums = shares.sum(1)
    if (shares < 0).any() or (abs(sums - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            "probabilities must not be negative and each row must add up to 1; got values from "
            f"{shares.min():.6g} and sums from {sums.min():.6g} to {sums.max():.6g}. For logits use logits=."
        )
