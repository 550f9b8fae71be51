"""Evaluators that count modes: of a known mixture of points, of stacked digits and of joined sets by a classifier."""

import functools
from collections.abc import Callable

import numpy as np

from buresgan_jax import data, declarations, metrics
from buresgan_jax.declarations import Option
from buresgan_jax.errors import UserError, split_names
from buresgan_jax.evaluation.classifier import Classifier
from buresgan_jax.evaluation.evaluators import Evaluator

_NUM_STD = 3
_CLASSIFIER = Option(
    "classifier",
    None,
    "file of the classifier of stacked_mnist's digits or of joined sets; None: in the workdir",
    kind=str,
    is_free=True,
)
_NUMBERS = ("modes", "high_quality_share", "reverse_kl", "mode_spread")  # of `mode_statistics`


@declarations.metric(
    "modes",
    "how points reach the modes of a known mixture",
    Option("min_hits", 1, "samples within 3 standard deviations that make a mode count", least=1, is_free=True),
    larger_is_better={"modes": True, "high_quality_share": True, "reverse_kl": False},
)
def count_modes(samples, mixture, *, min_hits):
    """Counts modes and high-quality samples of points."""
    options = {"weights": mixture.weights, "num_stds": _NUM_STD, "min_hits": min_hits}
    found = metrics.mode_statistics(samples, mixture.means, mixture.std, **options)
    return {name: getattr(found, name) for name in _NUMBERS}


@declarations.metric(
    "stacked_modes",
    "how images reach the 1000 classes of stacked MNIST",
    _CLASSIFIER,
    larger_is_better={"modes": True, "reverse_kl": False},
)
def count_stacked_modes(samples, reference_counts, *, classifier):
    """Classifies the digit in each channel of stacked images, and counts the classes."""
    channels = np.split(samples, samples.shape[-1], axis=-1)
    labels = data.stacked_labels(np.stack([classifier.classify(channel) for channel in channels], axis=-1))
    coverage = metrics.class_coverage(labels, reference_counts)
    return {**coverage._asdict(), "classifier_accuracy": classifier.metadata["test_accuracy"]}


@declarations.metric(
    "unwanted",
    "share of images that a classifier takes for blends of two joined sets, and how the others reach the sets",
    _CLASSIFIER,
    larger_is_better={"unwanted_share": False, "modes": True, "reverse_kl": False},
)
def count_unwanted(samples, reference_counts, *, classifier):
    """Classifies images as one of the sets or as a blend of two, which is unwanted.

    Returns:
        The share of unwanted images. Its floor: the same of real images, in the proportion of the data's sets, that
        were held out from the classifier's training. How the wanted images cover the sets, see
        `metrics.class_coverage`: without any, 0 modes and None.
    """
    num_sets = len(reference_counts)
    real = np.array(classifier.metadata["test_confusion"])[:num_sets]
    labels = classifier.classify(samples)
    wanted = labels[labels < num_sets]
    shares = {
        "unwanted_share": 1 - len(wanted) / len(labels),
        "unwanted_share_floor": float(np.average(real[:, -1] / real.sum(1), weights=reference_counts)),
    }
    if not len(wanted):
        return {**shares, **dict.fromkeys(metrics.ClassCoverage._fields), "modes": 0}
    return {**shares, **metrics.class_coverage(wanted, reference_counts)._asdict()}


AUTOMATIC = (count_modes, count_stacked_modes, count_unwanted)


def mode_evaluator(mixture: data.Mixture, data_name: str, *, min_hits: int) -> Evaluator:
    """Makes the evaluator of points.

    Args:
        mixture: The true distribution.
        data_name: Name of the data set.
        min_hits: High-quality samples that make a mode count.
    """
    measure, settings = count_modes(min_hits=min_hits), {"min_hits": min_hits}
    made_from = f"points of {data_name}, {_NUM_STD} std, min_hits {min_hits}"

    def evaluate(samples):
        numbers = measure(samples, mixture)
        facts = {"n_fake": len(samples), "made_from": made_from, **settings}
        return {name: {"value": value, **facts} for name, value in numbers.items()}

    larger_is_better = count_modes.facts["larger_is_better"]  # the spread is best at 1
    return Evaluator(dict.fromkeys(_NUMBERS, ("min_hits",)), larger_is_better, settings, evaluate)


def stacked_evaluator(
    find_classifier: Callable[[], Classifier], read_labels: Callable[[], np.ndarray], data_name: str, num_classes: int
) -> Evaluator:
    """Makes the evaluator of stacked digits.

    Args:
        find_classifier: Returns the digit classifier; called when it is needed.
        read_labels: Returns the labels of the training data; called once, when they are needed.
        data_name: Name of the gray data set.
        num_classes: Number of classes of the stacked images.
    """
    count_classes = _class_counts(read_labels, num_classes)
    made_from = f"labels by the classifier of {data_name}"

    def evaluate(samples):
        numbers = count_stacked_modes(classifier=find_classifier())(samples, count_classes())
        facts = {"n_fake": len(samples), "made_from": made_from}
        return {name: {"value": value, **facts} for name, value in numbers.items()}

    names = (*metrics.ClassCoverage._fields, "classifier_accuracy")
    return Evaluator(dict.fromkeys(names, ()), count_stacked_modes.facts["larger_is_better"], {}, evaluate)


def joined_evaluator(
    find_classifier: Callable[[], Classifier], read_labels: Callable[[], np.ndarray], sets: str
) -> Evaluator:
    """Makes the evaluator of joined sets of images.

    Args:
        find_classifier: Returns the classifier of the sets and their blends; called when it is needed.
        read_labels: Returns the number of the set of each training image; called once, when they are needed.
        sets: The names of the sets, with commas between them.
    """
    count_classes = _class_counts(read_labels, len(split_names(sets)))
    names = ("unwanted_share", "unwanted_share_floor", *metrics.ClassCoverage._fields)

    def evaluate(samples):
        facts = {"n_fake": len(samples), "made_from": f"the classifier of {sets} and blends of two"}
        try:
            classifier = find_classifier()
        except UserError as error:  # such as too few images: no reason to end a run
            return {name: {"value": None, "undefined": str(error), **facts} for name in names}
        numbers = count_unwanted(classifier=classifier)(samples, count_classes())
        entries = {name: {"value": value, **facts} for name, value in numbers.items()}
        for entry in entries.values():
            if entry["value"] is None:
                entry["undefined"] = "all images are unwanted"
        blends = np.array(classifier.metadata["test_confusion"])[-1]
        entries["unwanted_share"] |= {
            "blends_found": float(blends[-1] / blends.sum()),
            "classifier_accuracy": classifier.metadata["test_accuracy"],
        }
        return entries

    return Evaluator(dict.fromkeys(names, ()), count_unwanted.facts["larger_is_better"], {}, evaluate)


def _class_counts(read_labels, num_classes):
    return functools.cache(lambda: np.bincount(read_labels(), minlength=num_classes))
