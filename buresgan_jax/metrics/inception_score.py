"""Inception score and inception variance, from the class probabilities of generated images."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax, xlogy

from buresgan_jax.distances import checks
from buresgan_jax.metrics import inputs

VarianceVariant = Literal["code", "paper"]

_SUM_TOLERANCE = 1e-3  # enough for probabilities in half precision


class ClassStatistics(NamedTuple):
    """Sums over examples, in float64. `merge_class_statistics` merges parts of a set.

    Attributes:
        num_samples: Number of examples.
        probabilities: Sum of the class probabilities, `[classes]`.
        negative_entropy: Sum over examples of `sum_c p_c log p_c`, in nats.
    """

    num_samples: int
    probabilities: np.ndarray
    negative_entropy: float


class OverSplits(NamedTuple):
    """Mean and standard deviation of a number over several parts of a set.

    Attributes:
        mean: Mean over the parts.
        std: Standard deviation over the parts, with their number as divisor (no Bessel correction); 0 for one part.
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
    """Computes the inception score of generated images, between 1 and the number of classes.

    Args:
        logits: Logits, shape `[n, classes]`, at least `num_splits` examples.
        probabilities: Probabilities instead of logits. Not negative, each row with sum 1 up to 1e-3.
        num_splits: Number of contiguous parts on which the score is computed. The score grows with the size of the
            parts. Usually 10 parts of 5,000 images; the BuresGAN authors use one part.
        shuffle_seed: Seed of the shuffle before the split. The shuffle and the default seed are those of
            torch-fidelity. None keeps the order of the examples.

    Raises:
        ValueError: Neither or both of logits and probabilities are given, there are fewer examples than splits, a value
            is not finite, the shape is not `[n, classes]`, or the rows are not probabilities.

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
    logits: ArrayLike | None = None,
    *,
    probabilities: ArrayLike | None = None,
    num_splits: int = 10,
    variant: VarianceVariant = "code",
) -> OverSplits:
    """Computes how much the class probabilities of generated images vary.

    It is low if the images are similar, and if the network is sure of no image's class.

    Args:
        logits: Logits of generated images, shape `[n, classes]`, at least two examples per split.
        probabilities: Probabilities instead of logits. Not negative, each row with sum 1 up to 1e-3.
        num_splits: Number of contiguous parts, in the given order of the examples.
        variant: `"code"` is the authors' code: the standard deviation of each class's probability over the images (with
            their number as divisor), averaged over the classes; at most 1/2. Their tables show it times 1000.
            `"paper"` is equation 15: the square root of the mean Euclidean norm of `p(c|x) - mean_x p(c|x)`; below 1.
            The two can rank sets differently, and the second is far larger.

    Raises:
        ValueError: Neither or both of logits and probabilities are given, there are fewer than two examples per split,
            a value is not finite, the shape is not `[n, classes]`, the rows are not probabilities, or the variant is
            unknown.

    Note:
        Float64. Equation 15 does not say which output of the network it means; here both variants take the same one.

    References:
        Liu et al., "Combating mode collapse in GANs via manifold entropy estimation", AAAI 2023.
        https://arxiv.org/abs/2208.12055. Code: https://github.com/HaozheLiu-ST/MEE
    """
    inputs.check_positive_integer(num_splits=num_splits)
    checks.check_choice("variant", variant, get_args(VarianceVariant))
    kind, rows = _checked(logits, probabilities, 2 * num_splits)
    shares = softmax(rows.astype(np.float64), axis=1) if kind == "logits" else rows.astype(np.float64)
    return _over_splits(shares, num_splits, {"code": _mean_deviation, "paper": _root_mean_distance}[variant])


def class_statistics(*, logits: ArrayLike | None = None, probabilities: ArrayLike | None = None) -> ClassStatistics:
    """Computes the statistics of one batch for the inception score, in float64.

    Args:
        logits: Logits, shape `[n, classes]`.
        probabilities: Probabilities instead of logits. Not negative, each row with sum 1 up to 1e-3.

    Raises:
        ValueError: Neither or both of logits and probabilities are given, a value is not finite, the shape is not
            `[n, classes]`, or the rows are not probabilities.
    """
    kind, rows = _checked(logits, probabilities, 1)
    rows = rows.astype(np.float64)
    if kind == "logits":
        return _statistics_of_logits(rows)
    return ClassStatistics(len(rows), rows.sum(0), float(xlogy(rows, rows).sum()))


def merge_class_statistics(first: ClassStatistics, second: ClassStatistics) -> ClassStatistics:
    """Merges the statistics of two sets.

    Raises:
        ValueError: The numbers of classes differ.
    """
    if first.probabilities.shape != second.probabilities.shape:
        numbers = f"{len(first.probabilities)} and {len(second.probabilities)}"
        raise ValueError(f"Both parts must have the same number of classes, got {numbers}.")
    return ClassStatistics(*(one + other for one, other in zip(first, second, strict=True)))


def inception_score_from_statistics(statistics: ClassStatistics) -> float:
    """Computes `exp(mean_x KL(p(c|x) || mean_x p(c|x)))` of one split."""
    mean = statistics.probabilities / statistics.num_samples
    divergence = statistics.negative_entropy / statistics.num_samples - xlogy(mean, mean).sum()
    return float(np.exp(max(divergence, 0.0)))


def _mean_deviation(shares):
    return shares.std(0).mean()


def _root_mean_distance(shares):
    return np.sqrt(np.linalg.norm(shares - shares.mean(0), axis=1).mean())  # equation 15


def _over_splits(rows, num_splits, function):
    bounds = np.arange(num_splits + 1) * len(rows) // num_splits
    values = [function(rows[start:stop]) for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
    return OverSplits(float(np.mean(values)), float(np.std(values)))


def _statistics_of_logits(logits):
    # With p = e^l / z: sum p log p = sum e^l l / z - log z. So the probabilities are never formed.
    logits -= logits.max(1, keepdims=True)
    weights = np.exp(logits)
    sums = weights.sum(1)
    negative_entropies = np.einsum("nc,nc->n", weights, logits) / sums - np.log(sums)
    return ClassStatistics(len(logits), (1 / sums) @ weights, float(negative_entropies.sum()))


def _checked(logits, probabilities, min_samples):
    """Returns the name of the argument that was given, and its checked array."""
    if (logits is None) == (probabilities is None):
        raise ValueError("Give exactly one of logits and probabilities.")
    if logits is not None:
        return "logits", inputs.check_features("logits", logits, min_samples=min_samples, lower="num_splits")
    shares = inputs.check_features("probabilities", probabilities, min_samples=min_samples, lower="num_splits")
    sums = shares.sum(1, dtype=np.float64)
    if (shares < 0).any() or (abs(sums - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            "probabilities must not be negative, and each row must add up to 1; got values from "
            f"{shares.min():.6g} and sums from {sums.min():.6g} to {sums.max():.6g}. For logits use logits=."
        )
    return "probabilities", shares
