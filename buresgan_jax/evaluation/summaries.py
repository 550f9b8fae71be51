"""Summaries of sets of images that are read in batches: moments, features, logits or pixels.

Rows are ordered by the content of the images, so that no number depends on the order in which they came (moments but
for rounding): subsets, splits and patches are drawn from equal rows.
"""

import functools
import hashlib
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from buresgan_jax import __version__, metrics
from buresgan_jax.evaluation import statistics_cache
from buresgan_jax.extractors import Extractor
from buresgan_jax.runtime import progress_bar


class Summary(NamedTuple):
    """Summary of a set of images.

    Attributes:
        name: Name of the set, with its split.
        num_images: How many images the set has; None: not known.
        image_shape: Shape of one image, `(height, width, channels)`; None: not known.
        fingerprint: sha256 of the pixels of all images, the same in any order of them; None: not known.
        parts: The parts that metrics need by name: `moments`, `unit_moments`, `features`, `logits`, `images`. A part
            that is not defined on these images, such as the directions of features that are zero, is a ValueError.
    """

    name: str
    num_images: int | None
    image_shape: tuple[int, int, int] | None
    fingerprint: str | None
    parts: Mapping[str, Any]


def summarize(
    name: str,
    batches: Iterable[np.ndarray],
    parts: Sequence[str],
    extractor: Extractor,
    *,
    cache: pathlib.Path | None = None,
) -> Summary:
    """Reads a set of images once, or twice if statistics may be in a cache.

    Args:
        name: Name of the set, for messages and results.
        batches: uint8 `[n, height, width, channels]`, all of one shape but the last, which may be shorter. With
            `cache` they are iterated twice; otherwise a generator will do.
        parts: Names of the parts to keep, see `image_metrics.needed_parts`.
        extractor: The extractor of features.
        cache: A folder of `statistics_cache`; images themselves are not cached.

    Raises:
        ValueError: There are no images, or they have another dtype or several shapes.
    """
    found, read = {}, None
    cache = cache if extractor.sha256 else None
    if cache is not None and set(parts) - {"images"}:
        read = _read(name, batches, (), extractor)
        found = _load(cache, read, parts, extractor)
    missing = tuple(part for part in parts if part not in found)
    if missing or read is None:
        read = _read(name, batches, missing, extractor)
        if cache is not None:
            _save(cache, read, extractor)
    return read._replace(parts={**found, **read.parts})


def _read(name, batches, parts, extractor):
    keepers, digests, shape, undefined = {part: _KEEPERS[part]() for part in parts}, [], None, {}
    total = len(batches) if hasattr(batches, "__len__") else None
    for images in progress_bar.track(batches, description=name, total=total, unit="batch", leave=True):
        shape = _check_batch(name, images, shape)
        digests += [hashlib.sha256(np.ascontiguousarray(image)).digest() for image in images]
        outputs = {"images": images}
        if set(parts) - {"images"}:
            outputs["features"], outputs["logits"] = extractor.function(images)
        for part, keeper in keepers.items():
            try:
                keeper.add(outputs)
            except ValueError as error:
                undefined[part] = error
        keepers = {part: keeper for part, keeper in keepers.items() if part not in undefined}
    if not digests:
        raise ValueError(f"{name} has no images.")
    order = sorted(range(len(digests)), key=digests.__getitem__)
    fingerprint = hashlib.sha256(repr(shape).encode())
    for position in order:
        fingerprint.update(digests[position])
    kept = undefined | {part: keeper.result(order) for part, keeper in keepers.items()}
    return Summary(name, len(digests), shape, fingerprint.hexdigest(), kept)


def _check_batch(name, images, shape):
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} must be uint8 images [n, height, width, 1 or 3], got {images.dtype} of shape {images.shape}."
        )
    if shape is not None and images.shape[1:] != shape:
        raise ValueError(f"{name} must have images of one shape, got {shape} and {images.shape[1:]}.")
    return images.shape[1:]


class _MomentsKeeper:
    def __init__(self, transform=lambda features: features):
        self._moments, self._transform = metrics.Moments(), transform

    def add(self, outputs):
        self._moments.add(self._transform(outputs["features"]))

    def result(self, order):
        return self._moments.statistics()


class _ArrayKeeper:
    def __init__(self, output):
        self._output, self._batches = output, []

    def add(self, outputs):
        self._batches.append(np.asarray(outputs[self._output]))

    def result(self, order):
        return np.concatenate(self._batches)[order]


_KEEPERS = {
    "moments": _MomentsKeeper,
    "unit_moments": functools.partial(_MomentsKeeper, metrics.unit_rows),
    "features": functools.partial(_ArrayKeeper, "features"),
    "logits": functools.partial(_ArrayKeeper, "logits"),
    "images": functools.partial(_ArrayKeeper, "images"),
}


def _cache_file(cache, read, part, extractor):
    facts = {"images": read.fingerprint, "part": part, "version": __version__}
    facts |= {name: getattr(extractor, name) for name in ("name", "dim", "sha256", "resizer")}
    return statistics_cache.file_of(cache, facts)


def _load(cache, read, parts, extractor):
    found = {}
    for part in parts:
        arrays = None if part == "images" else statistics_cache.load(_cache_file(cache, read, part, extractor))
        if arrays is not None and "cov" in arrays:
            found[part] = metrics.GaussianStatistics(**arrays)
        elif arrays is not None and "rows" in arrays:
            found[part] = arrays["rows"]
    return found


def _save(cache, read, extractor):
    for part, value in read.parts.items():
        if part != "images" and not isinstance(value, ValueError):
            arrays = value._asdict() if isinstance(value, metrics.GaussianStatistics) else {"rows": value}
            statistics_cache.save(_cache_file(cache, read, part, extractor), arrays)
