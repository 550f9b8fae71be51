"""Coverage of classes by samples, from the labels of a classifier (stacked MNIST)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

_MIN_PROBABILITY = 1e-7
_FLOOR_DRAWS = 100  # gives stacked MNIST's floor, 0.0193, to within 0.0001


class ClassCoverage(NamedTuple):
    """Distribution of samples over classes.

    Attributes:
        modes: Number of classes with at least one sample.
        reverse_kl: KL(samples' histogram || reference histogram) in nats.
        reverse_kl_floor: Average of `reverse_kl` over sets of equally many labels drawn from the reference itself, as
            from a perfect generator and a perfect classifier. Errors of the classifier add to it.
    """

    modes: int
    reverse_kl: float
    reverse_kl_floor: float


def class_coverage(labels: ArrayLike, reference_counts: ArrayLike) -> ClassCoverage:
    """Counts the classes of samples and compares their histogram with that of the data.

    Args:
        labels: Class of each sample, integers in `[0, num_classes)`, shape `[n]`.
        reference_counts: Count or probability of each class in the data, shape `[num_classes]`.

    Returns:
        Counts and divergences as plain Python numbers.

    Raises:
        ValueError: The shapes or values are not allowed.

    Note:
        The floor is simulated, always with the same random numbers. For many samples per class it is close to
        `(num_classes - 1) / (2 * n)`.

    References:
        The BuresGAN authors' evaluation of stacked MNIST: 26,000 samples, 1000 classes, both histograms clipped to
        [1e-7, 1] and normalized again. They do not report the floor.
    """
    labels, reference_counts = np.asarray(labels), np.asarray(reference_counts, np.float64)
    _check(labels, reference_counts)
    num_classes = len(reference_counts)
    counts = np.bincount(labels, minlength=num_classes)
    draws = np.random.default_rng(0).multinomial(
        len(labels), reference_counts / reference_counts.sum(), size=_FLOOR_DRAWS
    )
    reference = _probabilities(reference_counts)
    return ClassCoverage(
        modes=int((counts > 0).sum()),
        reverse_kl=float(_kl(_probabilities(counts), reference)),
        reverse_kl_floor=float(_kl(_probabilities(draws), reference[np.newaxis]).mean()),
    )


def _probabilities(counts: np.ndarray) -> np.ndarray:
    """Returns histograms `[..., num_classes]`, at least 1e-7 before the second normalization."""
    probabilities = np.clip(counts / counts.sum(-1, keepdims=True), _MIN_PROBABILITY, 1)
    return probabilities / probabilities.sum(-1, keepdims=True)


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return np.sum(p * np.log(p / q), axis=-1)


def _check(labels: np.ndarray, reference_counts: np.ndarray) -> None:
    if labels.ndim != 1 or reference_counts.ndim != 1:
        raise ValueError(
            f"labels must have shape [n] and reference_counts [num_classes]; got {labels.shape} and "
            f"{reference_counts.shape}."
        )
    if len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, at least one; got {len(labels)} of dtype {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= len(reference_counts):
        raise ValueError(
            f"labels must lie from 0 to {len(reference_counts) - 1}; got {labels.min()} to {labels.max()}."
        )
    if not (np.isfinite(reference_counts).all() and (reference_counts >= 0).all() and reference_counts.sum() > 0):
        raise ValueError("reference_counts must not be negative and at least one positive.")
