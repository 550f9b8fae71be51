"""The evaluator of images: metrics by an extractor, against a real set that is read once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from buresgan_jax import data
from buresgan_jax.errors import UserError, user_error
from buresgan_jax.evaluation import image_metrics, pictures, statistics_cache
from buresgan_jax.evaluation.evaluators import Entry, Evaluator
from buresgan_jax.evaluation.image_metrics import METRICS
from buresgan_jax.evaluation.summaries import Summary, summarize
from buresgan_jax.extractors import Extractor

# Keys of config.evaluation that every metric of images depends on, and those that some do.
SHARED_OPTIONS = ("num_real", "split", "weights", "resizer")
METRIC_OPTIONS = tuple(option.name for option in image_metrics.OPTIONS)
_BATCH = 256


class Comparison:
    """Compares sets of generated images with one real set, which is read when this is made.

    Attributes:
        names: Names of the metrics, keys of `METRICS`.
        extractor: The extractor of features.
    """

    def __init__(
        self,
        names: Sequence[str],
        extractor: Extractor,
        options: Mapping[str, Any],
        real: data.ImageBatches | Summary,
        *,
        name: str,
        num_fake: int,
        image_shape: tuple[int, int, int],
        seed: int = 0,
        strict: bool = False,
    ):
        """Checks the sizes and reads the real images.

        Args:
            names: Keys of `METRICS`.
            extractor: The extractor of features.
            options: Values of the metrics' options by name; those left out have their defaults.
            real: The real images, or what a file of statistics holds of them.
            name: Name of their set, with its split.
            num_fake: How many images a generated set will have.
            image_shape: Shape of each of them.
            seed: Seed of subsets, splits, pairs and patches.
            strict: Whether a metric that cannot be computed is an error even if others can.

        Raises:
            UserError: The images are too few or too small for all metrics (with `strict`: for one), or the extractor
                lacks what they need.
        """
        self.names, self.extractor = tuple(names), extractor
        self._options, self._seed, self._real = options, seed, None
        sizes = {"num_real": real.num_images, "num_fake": num_fake, "image_shape": image_shape}
        self._undefined = image_metrics.problems(names, extractor, options, **sizes)
        if isinstance(real, Summary):
            self._real = real
            missing = set(image_metrics.needed_parts(names, of_real=True)) - real.parts.keys()
            reason = f"it needs the real images, and {name} holds their mean and covariance only."
            lacking = (each for each in names if METRICS[each].uses_real and METRICS[each].needs in missing)
            self._undefined |= dict.fromkeys(lacking, reason)
        elif parts := image_metrics.needed_parts(self._computed(), of_real=True):
            cache = statistics_cache.default_folder()
            self._real = user_error(summarize)(name, real, parts, extractor, cache=cache)
            bad = {part: str(error) for part, error in self._real.parts.items() if isinstance(error, ValueError)}
            uses_bad = (each for each in self._computed() if METRICS[each].uses_real and METRICS[each].needs in bad)
            self._undefined |= {each: f"{name}: {bad[METRICS[each].needs]}" for each in tuple(uses_bad)}
        if self._undefined and (strict or not self._computed()):
            raise UserError(": ".join(next(iter(self._undefined.items()))))

    def _computed(self):
        return [name for name in self.names if name not in self._undefined]

    def __call__(self, batches: Iterable[np.ndarray], name: str) -> dict[str, Entry]:
        """Computes the metrics of a generated set.

        Args:
            batches: uint8 images.
            name: Name of the set.

        Raises:
            UserError: The images do not fit the real ones.
        """
        parts = image_metrics.needed_parts(self._computed(), of_real=False)
        fake = user_error(summarize)(name, batches, parts, self.extractor)
        options = {"options": self._options, "seed": self._seed, "undefined": self._undefined}
        return user_error(image_metrics.compare)(self.names, self._real, fake, self.extractor, **options)


def image_evaluator(comparison: Comparison, settings: Mapping[str, Any]) -> Evaluator:
    """Makes the evaluator of images.

    Args:
        comparison: Compares generated images with the real ones.
        settings: Values of `SHARED_OPTIONS` and `METRIC_OPTIONS` by name.
    """
    options, larger_is_better = {}, {}
    for name in comparison.names:
        own = tuple(option.name for option in METRICS[name].component.options)
        for number, result in image_metrics.result_names(name, comparison.extractor).items():
            options[result] = (*SHARED_OPTIONS, *own)
            larger_is_better[result] = METRICS[name].larger_is_better[number]

    def evaluate(samples):
        images = pictures.to_uint8(samples)
        batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return comparison(batches, "generated images")

    return Evaluator(options, larger_is_better, settings, evaluate, is_costly=True)
