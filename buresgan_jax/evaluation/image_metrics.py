"""Metrics of two sets of images: from their summaries to numbers, each with how it was made.

Moments make the Frechet distance and the Vendi score, features the metrics by kernels and neighbors, logits the
inception score, and pixels the rest.
"""

import functools
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from buresgan_jax import declarations, metrics
from buresgan_jax.declarations import Option
from buresgan_jax.errors import UserError, choose, split_names
from buresgan_jax.evaluation.summaries import Summary
from buresgan_jax.extractors import Extractor, metric_name
from buresgan_jax.metrics import inputs

# Fixed numbers of draws, as in the metric's package or paper; each entry reports its own.
_NUM_BINS, _NUM_CLUSTERS, _NUM_PAIRS, _NUM_RUNS, _NUM_SUBSETS = 100, 20, 1000, 10, 100

_SUBSET_SIZE = Option(
    "subset_size", 1000, "most images in each of the 100 subsets of kernel_distance", least=2, is_free=True, smoke=8
)
_NUM_SPLITS = Option(
    "num_splits", 10, "splits of inception_score and both inception variances", least=1, is_free=True, smoke=2
)
_NUM_NEIGHBORS = Option("num_neighbors", 5, "neighbors in precision_recall", least=1, is_free=True)


class ImageMetric(NamedTuple):
    """A declared metric of images, with what it is made from.

    Attributes:
        component: Its declaration, of a function `(real part, fake part, *, seed, **options) -> {name: facts}`. Facts
            hold `value` and whatever else is known of the number.
        needs: The part of each set that it is made from; see `summaries`.
        uses_real: Whether it compares two sets; otherwise it looks at the generated one alone.
        min_samples: The least size of a set, by the values of its options.
        min_size: Least height and width in pixels.
    """

    component: declarations.Component
    needs: str
    uses_real: bool = True
    min_samples: Callable[[Mapping[str, Any]], int] = lambda options: 1
    min_size: int = 1

    @property
    def larger_is_better(self) -> dict[str, bool]:
        """Whether larger is better, for each of its numbers by name."""
        return self.component.facts["larger_is_better"]

    @property
    def uses_extractor(self) -> bool:
        """Whether it is made from features; otherwise it is made from the pixels."""
        return self.needs != "images"

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of its own options: those given, else the declared defaults."""
        return {option.name: options.get(option.name, option.default) for option in self.component.options}


@declarations.metric("frechet_distance", "FID: squared Wasserstein distance of Gaussians", larger_is_better=False)
def _frechet_distance(real, fake, *, seed):
    return {"frechet_distance": {"value": metrics.frechet_distance_from_statistics(real, fake)}}


@declarations.metric("kernel_distance", "KID: squared MMD without bias", _SUBSET_SIZE, larger_is_better=False)
def _kernel_distance(real, fake, *, seed, subset_size):
    size = min(subset_size, len(real), len(fake))
    is_whole = size == len(real) == len(fake)  # all subsets are one, which says nothing of the spread
    num_subsets = 1 if is_whole else _NUM_SUBSETS
    found = metrics.kernel_distance(real, fake, subset_size=size, num_subsets=num_subsets, seed=seed)
    spread = {} if is_whole else {"standard_error": found.standard_error, "std": found.std}
    return {"kernel_distance": {"value": found.mean, **spread, "subset_size": size, "num_subsets": num_subsets}}


@declarations.metric("inception_score", "how sure and how diverse the classes are", _NUM_SPLITS, larger_is_better=True)
def _inception_score(_, fake, *, seed, num_splits):
    found = metrics.inception_score(fake, num_splits=num_splits, shuffle_seed=seed)
    return {"inception_score": {"value": found.mean, "std": found.std}}


def _inception_variance(_, fake, *, seed, num_splits, name, variant):
    found = metrics.inception_variance(fake, num_splits=num_splits, variant=variant)
    return {name: {"value": found.mean, "std": found.std, "variant": variant}}


def _declare_inception_variance(name, variant, meaning):
    measure = functools.partial(_inception_variance, name=name, variant=variant)
    component = declarations.metric(name, meaning, _NUM_SPLITS, larger_is_better=True)(measure)
    return ImageMetric(component, "logits", uses_real=False, min_samples=lambda options: 2 * options["num_splits"])


@declarations.metric(
    "different_bins",
    "bins of a k-means on the real images that generated ones fill differently",
    larger_is_better={"share_of_different_bins": False, "js_divergence_of_bins": False},
)
def _different_bins(real, fake, *, seed):
    found = metrics.number_of_different_bins(real, fake, num_bins=_NUM_BINS, seed=seed)
    values = {"share_of_different_bins": found.share, "js_divergence_of_bins": found.js_divergence}
    return {name: {"value": value, "num_bins": _NUM_BINS} for name, value in values.items()}


@declarations.metric(
    "precision_recall",
    "precision, recall, density and coverage by nearest neighbors",
    _NUM_NEIGHBORS,
    larger_is_better=dict.fromkeys(("precision", "recall", "density", "coverage"), True),
)
def _precision_recall(real, fake, *, seed, num_neighbors):
    real, fake, counts = _equally_many(real, fake)
    found = metrics.precision_recall(real, fake, num_neighbors=num_neighbors)
    return {name: {"value": value, **counts} for name, value in found._asdict().items()}


@declarations.metric(
    "prd",
    "F_8 (recall) and F_1/8 (precision) of the precision-recall curve over clusters",
    larger_is_better={"prd_f8": True, "prd_f1_8": True},
)
def _prd(real, fake, *, seed):
    real, fake, counts = _equally_many(real, fake)
    curve = metrics.precision_recall_curve(real, fake, num_clusters=_NUM_CLUSTERS, num_runs=_NUM_RUNS, seed=seed)
    facts = {"num_clusters": _NUM_CLUSTERS, "num_runs": _NUM_RUNS, **counts}
    betas = {"prd_f8": 8, "prd_f1_8": 1 / 8}
    return {name: {"value": metrics.largest_f_score(curve, beta=beta), **facts} for name, beta in betas.items()}


def _sliced_wasserstein(real, fake, *, seed, name, variant):
    real, fake, counts = _equally_many(real, fake)
    found = metrics.sliced_wasserstein(real, fake, variant=variant, seed=seed)
    return {name: {"value": found.mean, "levels": list(found.levels), "variant": variant, **counts}}


def _declare_sliced_wasserstein(name, variant, whose):
    meaning = f"distance of patches on a Laplacian pyramid, as {whose}"
    measure = functools.partial(_sliced_wasserstein, name=name, variant=variant)
    return ImageMetric(declarations.metric(name, meaning, larger_is_better=False)(measure), "images", min_size=16)


def _equally_many(real, fake):
    """Takes equally many of both sets, as sizes change numbers and 60,000 reals would have 2e9 distances.

    The first ones in the order of the content are a random part.
    """
    num = min(len(real), len(fake))
    return real[:num], fake[:num], {"n_real": num, "n_fake": num}


@declarations.metric("ms_ssim", "mean similarity of pairs of generated images", larger_is_better=False)
def _ms_ssim(_, fake, *, seed):
    found = metrics.ms_ssim_of_pairs(fake, num_pairs=_NUM_PAIRS, seed=seed)
    return {"ms_ssim": {"value": found.mean, "standard_error": found.standard_error, "num_pairs": _NUM_PAIRS}}


@declarations.metric("vendi_score", "effective number of different generated images", larger_is_better=True)
def _vendi_score(_, fake, *, seed):
    return {"vendi_score": {"value": metrics.vendi_score_from_statistics(fake)}}


_ALL = (
    ImageMetric(_frechet_distance, "moments", min_samples=lambda options: 2),
    ImageMetric(_kernel_distance, "features", min_samples=lambda options: 2),
    ImageMetric(_inception_score, "logits", uses_real=False, min_samples=lambda options: options["num_splits"]),
    _declare_inception_variance("inception_variance", "code", "how diverse the classes are"),
    _declare_inception_variance("inception_variance_paper", "paper", "the same by equation 15 of MaEM-GAN's paper"),
    ImageMetric(_precision_recall, "features", min_samples=lambda options: options["num_neighbors"] + 1),
    ImageMetric(_prd, "features", min_samples=lambda options: _NUM_CLUSTERS // 2),
    ImageMetric(_different_bins, "features", min_samples=lambda options: _NUM_BINS),
    _declare_sliced_wasserstein("sliced_wasserstein", "bures_gan", "BuresGAN's authors"),
    _declare_sliced_wasserstein("sliced_wasserstein_progan", "progan", "ProGAN's authors"),
    ImageMetric(_ms_ssim, "images", uses_real=False, min_samples=lambda options: 2, min_size=176),
    ImageMetric(_vendi_score, "unit_moments", uses_real=False, min_samples=lambda options: 2),
)
METRICS: dict[str, ImageMetric] = {metric.component.name: metric for metric in _ALL}
OPTIONS = tuple(dict.fromkeys(option for metric in _ALL for option in metric.component.options))
SHORT_NAMES = {"fid": "frechet_distance", "kid": "kernel_distance"}  # only on the canonical Inception-v3


def metric_names(text: str, extractor: str, *, others: Collection[str] = ()) -> tuple[str, ...]:
    """Reads names of metrics with commas between them.

    Args:
        text: Such as `kernel_distance,precision_recall`; `fid` and `kid` are understood with `inception_v3` only.
        extractor: Name of the extractor.
        others: Names of metrics that may be among them but are not in `METRICS`; they are left out of the result.

    Raises:
        UserError: A name is unknown, or `fid` or `kid` is asked for on another extractor.
    """
    names = []
    for word in split_names(text):
        if word in others:
            continue
        name = SHORT_NAMES.get(word, word)
        if name != word and extractor != "inception_v3":
            raise UserError(
                f"{word!r} is what {name!r} is called on the canonical Inception-v3, and the extractor is "
                f"{extractor!r}. Set metrics to {name}, or the extractor to inception_v3."
            )
        choose("metric", name, dict.fromkeys((*METRICS, *others)), "metrics")
        names.append(name)
    return tuple(dict.fromkeys(names))


def result_names(name: str, extractor: Extractor) -> dict[str, str]:
    """Maps the numbers of a metric to their names on an extractor's features, such as `recall` to `recall_vgg16`."""
    metric = METRICS[name]
    return {
        number: metric_name(number, extractor) if metric.uses_extractor else number
        for number in metric.larger_is_better
    }


def problems(
    names: Sequence[str],
    extractor: Extractor,
    options: Mapping[str, Any],
    *,
    num_real: int | None,
    num_fake: int,
    image_shape: tuple[int, int, int],
) -> dict[str, str]:
    """Finds what would fail, before hours of work.

    Args:
        names: Keys of `METRICS`.
        extractor: The extractor of features.
        options: Values of the metrics' options by name; those left out have their defaults.
        num_real: How many real images there will be; None: not known, or only the generated set is looked at.
        num_fake: How many generated images there will be.
        image_shape: Shape of one image.

    Returns:
        The reasons by metric: the images are too few or too small for it, or the extractor lacks the logits that it
        needs. If only the number of samples in a subset is too large, a warning says that it is lowered.
    """
    found = {}
    for name in names:
        try:
            _check(METRICS[name], extractor, options, num_real, num_fake, image_shape)
        except ValueError as error:
            found[name] = str(error)
    smaller, size = min(num_fake, num_real or num_fake), options.get("subset_size", _SUBSET_SIZE.default)
    if "kernel_distance" in names and "kernel_distance" not in found and smaller < size:
        text = "kernel_distance: the subsets hold %d images instead of subset_size=%d, because a set has no more."
        logging.warning(text, smaller, size)
    return found


def _check(metric, extractor, options, num_real, num_fake, image_shape):
    settings = metric.settings(options)
    for side, num in (("real", num_real if metric.uses_real else None), ("fake", num_fake)):
        if num is not None:
            inputs.check_num_samples(side, num, metric.min_samples(settings), next(iter(settings), ""))
    if min(image_shape[:2]) < metric.min_size:
        raise ValueError(
            f"it needs images of at least {metric.min_size}x{metric.min_size} pixels, "
            f"got {image_shape[0]}x{image_shape[1]}. Enlarge them, or leave it out."
        )
    if metric.needs == "logits" and extractor.function(np.zeros((1, *image_shape), np.uint8))[1] is None:
        raise ValueError(f"it needs class logits, and the extractor {extractor.name!r} has none.")


def needed_parts(names: Iterable[str], *, of_real: bool) -> tuple[str, ...]:
    """Names the parts of the real or the generated set that metrics are made from."""
    return tuple(sorted({METRICS[name].needs for name in names if METRICS[name].uses_real or not of_real}))


def compare(
    names: Sequence[str],
    real: Summary | None,
    fake: Summary,
    extractor: Extractor,
    options: Mapping[str, Any],
    *,
    seed: int = 0,
    undefined: Mapping[str, str] = types.MappingProxyType({}),
) -> dict[str, dict[str, Any]]:
    """Computes metrics, each number with how it was made.

    Args:
        names: Keys of `METRICS`.
        real: Summary of the real set; None where no metric compares two sets.
        fake: Summary of the generated set.
        extractor: The extractor by which both were made.
        options: Values of the metrics' options by name; those left out have their defaults.
        seed: Seed of subsets, splits, pairs and patches.
        undefined: Reasons why some of the metrics cannot be computed, as `problems` finds them.

    Returns:
        `{name: {"value": ..., "standard_error" or "std" where known, "n_real", "n_fake", "real", "fake", "extractor",
        "resizer", "weights_sha256", options}}`, all plain Python values. If a metric is not defined on these images,
        such as the Vendi score of black ones, `value` is None and `undefined` gives the reason.

    Raises:
        ValueError: The sets differ in the shape of their images.
    """
    if real is not None and real.image_shape not in (None, fake.image_shape):
        raise ValueError(
            f"real and fake must have images of one height, width and number of channels, got {real.image_shape} "
            f"({real.name}) and {fake.image_shape} ({fake.name}). Give an image size, and a number of channels."
        )
    entries = {}
    for name in names:
        metric, results = METRICS[name], result_names(name, extractor)
        settings = metric.settings(options)
        facts = {"n_real": None, "n_fake": fake.num_images, "real": None, "fake": fake.name, "seed": seed}
        facts["image_shape"] = list(fake.image_shape)
        if metric.uses_real and real is not None:
            facts |= {"n_real": real.num_images, "real": real.name}
        if metric.uses_extractor:
            facts |= {"extractor": extractor.name, "resizer": extractor.resizer, "weights_sha256": extractor.sha256}
        if name in undefined:
            numbers = _undefined(metric, undefined[name])
        else:
            numbers = _measure(metric, real, fake, {**settings, "seed": seed})
        entries |= {results[number]: {**facts, **settings, **found} for number, found in numbers.items()}
    return entries


def _measure(metric, real, fake, options):
    parts = real.parts[metric.needs] if metric.uses_real else None, fake.parts[metric.needs]
    try:
        for part in parts:
            if isinstance(part, ValueError):
                raise part
        return metric.component.build()(*parts, **options)
    except ValueError as error:
        return _undefined(metric, str(error))


def _undefined(metric, reason):
    return dict.fromkeys(metric.larger_is_better, {"value": None, "undefined": reason})
