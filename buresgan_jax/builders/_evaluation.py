"""The metrics of samples."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epath

from buresgan_jax import data, metrics
from buresgan_jax.builders._choose import choose
from buresgan_jax.builders._data import is_mixture, mixture, stacked_source
from buresgan_jax.builders._image_evaluation import OF_ALL_METRICS, ImageEvaluation
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import classifier_training


def evaluation(config, workdir: epath.PathLike) -> Callable[[np.ndarray], dict[str, float]] | None:
    """`samples -> {metric: value}` for the data set, None where there is none; what they need lies in the workdir."""
    if is_mixture(config):
        return _mixture_evaluation(config)
    # The random images of a smoke run have no classes.
    return _stacked_evaluation(config, workdir) if config.data.name == "stacked_mnist" and not config.smoke else None


def _mixture_evaluation(config):
    truth = mixture(config)

    def evaluate(samples):
        options = {"weights": truth.weights, "min_hits": config.evaluation.min_hits}
        statistics = metrics.mode_statistics(samples, truth.means, truth.std, **options)
        return {name: getattr(statistics, name) for name in ("modes", "high_quality_share", "reverse_kl")}

    return evaluate


def _stacked_evaluation(config, workdir):
    file = config.evaluation.classifier or epath.Path(workdir) / "digit_classifier.npz"
    find_classifier = classifier_training.classifier_when_needed(config.data.base, file, data_dir=config.data.data_dir)

    @functools.cache
    def reference_counts():
        stacks = stacked_source(config)
        return np.bincount(stacks.labels(np.arange(stacks.num_examples)), minlength=1000)

    def evaluate(samples):
        channels = np.split(samples, samples.shape[-1], axis=-1)
        found = find_classifier()
        labels = data.stacked_labels(np.stack([found.classify(channel) for channel in channels], axis=-1))
        coverage = metrics.class_coverage(labels, reference_counts())
        return {**coverage._asdict(), "classifier_accuracy": found.metadata["test_accuracy"]}

    return evaluate


def about_evaluation(config) -> dict[str, Any]:
    """How `evaluation` makes its numbers, for who reads them."""
    if not is_mixture(config):
        return {"made_from": f"labels by the classifier of {config.data.base}"}
    min_hits = config.evaluation.min_hits
    return {"made_from": f"points of {config.data.name}, 3 std, min_hits {min_hits}", "min_hits": min_hits}


def shared_by_runs(config, folder: epath.PathLike) -> dict[str, str]:
    """Makes what the evaluations of several runs share, and keeps it in a folder.

    Returns:
        Config keys and their values with which the runs find it.
    """
    if config.data.name != "stacked_mnist" or config.smoke or config.evaluation.classifier is not None:
        return {}
    file = epath.Path(folder) / f"classifier_{config.data.base}.npz"
    classifier_training.classifier_when_needed(config.data.base, file, data_dir=config.data.data_dir)()
    return {"evaluation.classifier": str(file)}


_LARGER_IS_BETTER = {"modes": True, "high_quality_share": True, "reverse_kl": False}


def best_choice(config, images: ImageEvaluation | None) -> dict[str, Any]:
    """How the number `evaluation.best_by` chooses the best checkpoint: arguments of `BestCheckpoint`.

    Args:
        config: of a run.
        images: the metrics of images, which training computes of the averaged generator only.

    Returns:
        `larger_is_better`, and `made_by`: the options that the number depends on.

    Raises:
        UserError: no evaluation of this run has a number of this name.
    """
    best_by, table = config.evaluation.best_by, {}
    if is_mixture(config) or (config.data.name == "stacked_mnist" and not config.smoke):
        names = ("modes", "high_quality_share", "reverse_kl") if is_mixture(config) else ("modes", "reverse_kl")
        options = ("num_samples", "min_hits") if is_mixture(config) else ("num_samples",)
        table = {f"{prefix}{name}": (_LARGER_IS_BETTER[name], options) for prefix in ("", "ema_") for name in names}
    if images is not None:
        for name, is_better in images.larger_is_better.items():
            table[f"ema_{name}"] = is_better, ("num_samples", *OF_ALL_METRICS, *images.options_of(name))
    if not table:
        raise UserError(f"config.evaluation.best_by is {best_by!r}, but nothing is evaluated. Set evaluation.metrics.")
    is_better, options = choose("number", best_by, table, "config.evaluation.best_by")
    return {"larger_is_better": is_better, "made_by": {name: config.evaluation[name] for name in options}}


def perfect_samples(config, n: int, seed: int) -> np.ndarray | None:
    """What a perfect generator would make, for the best value that a metric can have; None where it is not known."""
    if not is_mixture(config):
        return None
    return data.sample_mixture(mixture(config), np.arange(n), seed=seed)[0]
