"""The metrics of images: extractors, names, and what a run is compared with."""

from collections.abc import Callable
from typing import Any

import numpy as np

from buresgan_jax import data, extractors
from buresgan_jax.builders._choose import choose, user_error
from buresgan_jax.builders._data import is_mixture, source
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import image_metrics, statistics_cache
from buresgan_jax.evaluation.image_metrics import METRICS, Options
from buresgan_jax.evaluation.summaries import Summary, summarize
from buresgan_jax.extractors import Extractor

EXTRACTORS: dict[str, Callable[..., Extractor]] = {
    "pixels": extractors.pixels,
    "inception_v3": extractors.inception_v3,
    "mobilenet_v2": extractors.mobilenet_v2,
    "vgg16": extractors.vgg16,
}

# Keys of config.evaluation on which metrics of images depend: all of them, and those that name them (`options_of`).
OF_ALL_METRICS = ("num_real", "split", "weights", "resizer")
OF_SOME_METRICS = tuple(name for name in Options._fields if name != "seed")

_ON_CANONICAL_FEATURES = {"fid": "frechet_distance", "kid": "kernel_distance"}


def extractor(name: str, weights: str | None = None, resizer: str | None = None) -> Extractor:
    """An extractor of features, from its file of weights or from where it finds them, with its way of resizing."""
    make = choose("extractor", name, EXTRACTORS, "the extractor")
    options = {"weights": weights, "resizer": resizer}
    return user_error(make)(**{key: value for key, value in options.items() if value is not None})


def image_metric_names(text: str, extractor_name: str) -> tuple[str, ...]:
    """`kernel_distance,precision_recall` as names of metrics of images; `fid` and `kid` are of `inception_v3` only."""
    names = []
    for word in filter(None, map(str.strip, text.split(","))):
        name = _ON_CANONICAL_FEATURES.get(word, word)
        if name != word and extractor_name != "inception_v3":
            raise UserError(
                f"{word!r} is what {name!r} is called on the canonical Inception-v3, and the extractor is "
                f"{extractor_name!r}. Set metrics to {name}, or the extractor to inception_v3."
            )
        choose("metric", name, METRICS, "metrics")
        names.append(name)
    return tuple(dict.fromkeys(names))


class ImageEvaluation:
    """Metrics of generated images, against a real set whose statistics are there already.

    Attributes:
        larger_is_better: for each number, by its name.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        made_by: Extractor,
        options: Options,
        batches: data.ImageBatches,
        *,
        name: str,
        num_fake: int,
        image_shape: tuple[int, int, int],
    ):
        """Looks at the real images.

        Args:
            names: of metrics.
            made_by: the extractor.
            options: of the metrics.
            batches: the real images.
            name: of their set, with its split.
            num_fake: how many images will be generated.
            image_shape: of each of them.

        Raises:
            UserError: too few or too small images for a metric, or an extractor without what it needs.
        """
        self._names, self._extractor, self._options, self._real = names, made_by, options, None
        self.larger_is_better = image_metrics.larger_is_better(names, made_by)
        sizes = {"num_real": batches.num_images, "num_fake": num_fake, "image_shape": image_shape}
        user_error(image_metrics.check)(names, made_by, options, **sizes)
        if parts := image_metrics.needed_parts(names, of_real=True):
            cache = statistics_cache.default_folder()
            self._real = user_error(summarize)(name, batches, parts, made_by, cache=cache)
            for error in (part for part in self._real.parts.values() if isinstance(part, ValueError)):
                raise UserError(f"{name}: {error}") from error

    def options_of(self, number: str) -> tuple[str, ...]:
        """The options that a number depends on, by its name."""
        of = {
            result: name
            for name in self._names
            for result in image_metrics.result_names(name, self._extractor).values()
        }
        return METRICS[of[number]].options

    def __call__(self, batches: data.ImageBatches | list[np.ndarray], name: str) -> dict[str, dict[str, Any]]:
        """Numbers by name, each with how it was made, of batches of uint8 images.

        Raises:
            UserError: the images do not fit the real ones.
        """
        return user_error(self._compare)(self._summary(batches, name))

    def _summary(self, batches, name) -> Summary:
        parts = image_metrics.needed_parts(self._names, of_real=False)
        return user_error(summarize)(name, batches, parts, self._extractor)

    def _compare(self, fake):
        return image_metrics.compare(self._names, self._real, fake, self._extractor, self._options)


def image_evaluation(
    config, real: data.Source | None = None, on_batch: Callable[[], object] = lambda: None
) -> ImageEvaluation | None:
    """The metrics of images that a config asks for, None where it asks for none.

    Args:
        config: of a run; see `evaluation` in `config.py`.
        real: its training data, where they are open already.
        on_batch: called before each batch of them is looked at; what it raises ends that.

    Raises:
        UserError: an unknown name, data without images, or what `ImageEvaluation` refuses.
    """
    options = config.evaluation
    names = image_metric_names(options.metrics, options.extractor)
    if not names:
        return None
    if is_mixture(config):
        raise UserError(f"The metrics {', '.join(names)} are of images, and {config.data.name!r} has points.")
    if options.split and config.data.name == "image_folder":
        raise UserError(
            f"config.evaluation.split={options.split!r}: a folder has no splits. Compare samples with another folder: "
            "python -m buresgan_jax.metrics."
        )
    made_by = extractor(options.extractor, options.weights, options.resizer)
    split = options.split or config.data.split
    if real is None or split != config.data.split:
        config = config.copy_and_resolve_references()
        config.data.split = split
        real = source(config)
    return ImageEvaluation(
        names,
        made_by,
        Options(**{name: options[name] for name in OF_SOME_METRICS}),
        data.ImageBatches(real, num=options.num_real, on_batch=on_batch),
        name=real.name if config.smoke or config.data.name == "image_folder" else f"{real.name}:{split}",
        num_fake=options.num_samples,
        image_shape=real.example_shape,
    )
