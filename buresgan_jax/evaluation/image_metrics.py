"""Metrics of two sets of images: from what was kept of them to numbers, each with how it was made.

Moments make the Frechet distance and the Vendi score, features those by kernels and neighbors, logits the inception
score, and pixels the rest.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from buresgan_jax import metrics
from buresgan_jax.evaluation import tables
from buresgan_jax.evaluation.summaries import Summary
from buresgan_jax.extractors import Extractor, metric_name
from buresgan_jax.metrics import inputs

# What a metric draws or makes, as its package or paper does; each number says how many.
_NUM_BINS, _NUM_PAIRS, _NUM_SUBSETS = 100, 1000, 100


class Options(NamedTuple):
    """Choices that change numbers; each number names those that it depends on.

    Attributes:
        seed: of subsets, splits, pairs and patches.
        subset_size: of the kernel distance, which takes 100 subsets.
        num_splits: of the inception score and variance.
        num_neighbors: of precision, recall, density and coverage.
    """

    seed: int = 0
    subset_size: int = 1000
    num_splits: int = 10
    num_neighbors: int = 5


class ImageMetric(NamedTuple):
    """An entry of `METRICS`.

    Attributes:
        needs: the part of each set that it is made from.
        uses_real: whether it compares two sets, or looks at the generated one alone.
        larger_is_better: for each of its numbers, by name.
        measure: `(real part, fake part, options) -> {name: facts}`; facts hold `value` and what else is known of it.
        options: names of those that it depends on, beside the seed; the first one decides `min_samples`.
        min_samples: by the options.
        min_size: least height and width in pixels.
    """

    needs: str
    uses_real: bool
    larger_is_better: dict[str, bool]
    measure: Callable[[Any, Any, Options], dict[str, dict[str, Any]]]
    options: tuple[str, ...] = ()
    min_samples: Callable[[Options], int] = lambda options: 1
    min_size: int = 1

    @property
    def uses_extractor(self) -> bool:
        """Whether it is made from features, or from the pixels."""
        return self.needs != "images"


def _frechet_distance(real, fake, options):
    return {"frechet_distance": {"value": metrics.frechet_distance_from_statistics(real, fake)}}


def _kernel_distance(real, fake, options):
    draws = {"subset_size": options.subset_size, "num_subsets": _NUM_SUBSETS, "seed": options.seed}
    found = metrics.kernel_distance(real, fake, **draws)
    facts = {"standard_error": found.standard_error, "std": found.std, "num_subsets": _NUM_SUBSETS}
    return {"kernel_distance": {"value": found.mean, **facts}}


def _inception_score(_, fake, options):
    found = metrics.inception_score(fake, num_splits=options.num_splits, shuffle_seed=options.seed)
    return {"inception_score": {"value": found.mean, "std": found.std}}


def _inception_variance(_, fake, options):
    found = metrics.inception_variance(fake, num_splits=options.num_splits)
    return {"inception_variance": {"value": found.mean, "std": found.std}}


def _different_bins(real, fake, options):
    found = metrics.number_of_different_bins(real, fake, num_bins=_NUM_BINS, seed=options.seed)
    values = {"share_of_different_bins": found.share, "js_divergence_of_bins": found.js_divergence}
    return {name: {"value": value, "num_bins": _NUM_BINS} for name, value in values.items()}


def _precision_recall(real, fake, options):
    real, fake, counts = _equally_many(real, fake)
    found = metrics.precision_recall(real, fake, num_neighbors=options.num_neighbors)
    return {name: {"value": value, **counts} for name, value in found._asdict().items()}


def _sliced_wasserstein(real, fake, options, *, name, variant):
    real, fake, counts = _equally_many(real, fake)
    found = metrics.sliced_wasserstein(real, fake, variant=variant, seed=options.seed)
    return {name: {"value": found.mean, "levels": found.levels, "variant": variant, **counts}}


def _equally_many(real, fake):
    """The first of both by content, a random part; sizes decide numbers, and 60,000 reals would have 2e9 distances."""
    num = min(len(real), len(fake))
    return real[:num], fake[:num], {"n_real": num, "n_fake": num}


def _ms_ssim(_, fake, options):
    found = metrics.ms_ssim_of_pairs(fake, num_pairs=_NUM_PAIRS, seed=options.seed)
    return {"ms_ssim": {"value": found.mean, "standard_error": found.standard_error, "num_pairs": _NUM_PAIRS}}


def _vendi_score(_, fake, options):
    return {"vendi_score": {"value": metrics.vendi_score_from_statistics(fake)}}


def _sliced_wasserstein_metric(name, variant):
    measure = functools.partial(_sliced_wasserstein, name=name, variant=variant)
    return ImageMetric("images", True, {name: False}, measure, min_size=16)


METRICS: dict[str, ImageMetric] = {
    "frechet_distance": ImageMetric(
        "moments", True, {"frechet_distance": False}, _frechet_distance, min_samples=lambda options: 2
    ),
    "kernel_distance": ImageMetric(
        "features",
        True,
        {"kernel_distance": False},
        _kernel_distance,
        ("subset_size",),
        lambda options: options.subset_size,
    ),
    "inception_score": ImageMetric(
        "logits",
        False,
        {"inception_score": True},
        _inception_score,
        ("num_splits",),
        lambda options: options.num_splits,
    ),
    "inception_variance": ImageMetric(
        "logits",
        False,
        {"inception_variance": True},
        _inception_variance,
        ("num_splits",),
        lambda options: 2 * options.num_splits,
    ),
    "precision_recall": ImageMetric(
        "features",
        True,
        dict.fromkeys(("precision", "recall", "density", "coverage"), True),
        _precision_recall,
        ("num_neighbors",),
        lambda options: options.num_neighbors + 1,
    ),
    "different_bins": ImageMetric(
        "features",
        True,
        {"share_of_different_bins": False, "js_divergence_of_bins": False},
        _different_bins,
        min_samples=lambda options: _NUM_BINS,
    ),
    "sliced_wasserstein": _sliced_wasserstein_metric("sliced_wasserstein", "bures_gan"),
    "sliced_wasserstein_progan": _sliced_wasserstein_metric("sliced_wasserstein_progan", "progan"),
    "ms_ssim": ImageMetric("images", False, {"ms_ssim": False}, _ms_ssim, min_samples=lambda options: 2, min_size=176),
    "vendi_score": ImageMetric(
        "unit_moments", False, {"vendi_score": True}, _vendi_score, min_samples=lambda options: 2
    ),
}


def result_names(name: str, extractor: Extractor) -> dict[str, str]:
    """What the numbers of a metric are called on an extractor's features: `{name: name with the extractor}`."""
    metric = METRICS[name]
    return {
        number: metric_name(number, extractor) if metric.uses_extractor else number
        for number in metric.larger_is_better
    }


def larger_is_better(names: Sequence[str], extractor: Extractor) -> dict[str, bool]:
    """For each number of these metrics, by its name with the extractor."""
    return {
        result: METRICS[name].larger_is_better[number]
        for name in names
        for number, result in result_names(name, extractor).items()
    }


def check(
    names: Sequence[str],
    extractor: Extractor,
    options: Options,
    *,
    num_real: int | None,
    num_fake: int,
    image_shape: tuple[int, int, int],
) -> None:
    """Finds what would fail, before hours of work.

    Args:
        names: keys of `METRICS`.
        extractor: of features.
        options: of the metrics.
        num_real: how many images there will be; None: only the generated set is looked at.
        num_fake: the same of the other set.
        image_shape: of one image.

    Raises:
        ValueError: too few or too small images for a metric, or an extractor without the logits that it needs.
    """
    for name in names:
        try:
            _check(METRICS[name], extractor, options, num_real, num_fake, image_shape)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _check(metric, extractor, options, num_real, num_fake, image_shape):
    for side, num in (("real", num_real if metric.uses_real else None), ("fake", num_fake)):
        if num is not None:
            inputs.check_num_samples(side, num, metric.min_samples(options), next(iter(metric.options), ""))
    if min(image_shape[:2]) < metric.min_size:
        raise ValueError(
            f"it needs images of at least {metric.min_size}x{metric.min_size} pixels, "
            f"got {image_shape[0]}x{image_shape[1]}. Enlarge them, or leave it out."
        )
    if metric.needs == "logits" and extractor.function(np.zeros((1, *image_shape), np.uint8))[1] is None:
        raise ValueError(f"it needs class logits, and the extractor {extractor.name!r} has none.")


def needed_parts(names: Iterable[str], *, of_real: bool) -> tuple[str, ...]:
    """What metrics need of the real or the generated set."""
    return tuple(sorted({METRICS[name].needs for name in names if METRICS[name].uses_real or not of_real}))


def compare(
    names: Sequence[str], real: Summary | None, fake: Summary, extractor: Extractor, options: Options
) -> dict[str, dict[str, Any]]:
    """The numbers of these metrics, each with how it was made.

    Args:
        names: keys of `METRICS`.
        real: with the parts that they need; None where none of them compares two sets.
        fake: the same of the generated set.
        extractor: by which both were made.
        options: of the metrics.

    Returns:
        `{name: {"value": ..., "standard_error" or "std" where known, "n_real", "n_fake", "real", "fake", "extractor",
        "resizer", "weights_sha256", options}}`; nothing in it but plain Python values. Of a metric that is not defined
        on these images, such as the Vendi score of black ones, `value` is None and `undefined` says why.

    Raises:
        ValueError: the sets differ in the shape of their images.
    """
    if real is not None and real.image_shape != fake.image_shape:
        raise ValueError(
            f"real and fake must have images of one height, width and number of channels, got {real.image_shape} "
            f"({real.name}) and {fake.image_shape} ({fake.name}). Give an image size, and a number of channels."
        )
    entries = {}
    for name in names:
        metric, results = METRICS[name], result_names(name, extractor)
        facts = {"n_real": None, "n_fake": fake.num_images, "real": None, "fake": fake.name, "seed": options.seed}
        facts["image_shape"] = list(fake.image_shape)
        if metric.uses_real:
            facts |= {"n_real": real.num_images, "real": real.name}
        if metric.uses_extractor:
            facts |= {"extractor": extractor.name, "resizer": extractor.resizer, "weights_sha256": extractor.sha256}
        facts |= {option: getattr(options, option) for option in metric.options}
        parts = real.parts[metric.needs] if metric.uses_real else None, fake.parts[metric.needs]
        try:
            for part in parts:
                if isinstance(part, ValueError):
                    raise part
            numbers = metric.measure(*parts, options)
        except ValueError as error:
            numbers = dict.fromkeys(results, {"value": None, "undefined": str(error)})
        entries |= {results[number]: {**facts, **found} for number, found in numbers.items()}
    return entries


def table(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table of entries: value, its uncertainty, and how it was made."""
    lines = []
    for name, entry in entries.items():
        numbers = [
            f"{entry[key]:.6g}" if entry.get(key) is not None else "-" for key in ("value", "standard_error", "std")
        ]
        counts = [str(entry[key]) if entry.get(key) is not None else "-" for key in ("n_real", "n_fake")]
        weights = f", weights {entry['weights_sha256'][:8]}" if entry.get("weights_sha256") else ""
        made = entry.get("made_from", "pixels as they are")
        if "extractor" in entry:
            made = f"{entry['extractor']} ({entry['resizer']}{weights})"
        undefined = f"; undefined: {entry['undefined']}" if "undefined" in entry else ""
        lines.append([name, *numbers, *counts, made + undefined])
    return tables.render(["metric", "value", "standard error", "std", "n real", "n fake", "made from"], lines)
