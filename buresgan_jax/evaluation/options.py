"""The options of evaluation: the keys of `config.evaluation`, and the flags of `--mode=evaluate`."""

from buresgan_jax.declarations import Option
from buresgan_jax.evaluation import image_metrics, modes

_OF_IMAGES = ("evaluation.metrics", (*image_metrics.METRICS, *image_metrics.SHORT_NAMES))
SHARED = (
    Option("every_steps", 1_000, "steps between evaluations; 0: only at the end", least=0, is_free=True, smoke=1),
    Option("num_samples", 2_500, "samples of an evaluation", least=1, most=10_000_000, is_free=True, smoke=16),
    Option("metrics", "", "metrics of images or of points, with commas between them", is_free=True),
    Option(
        "extractor",
        "pixels",
        "extractor of the features that metrics of images compare",
        is_free=True,
        read_with=_OF_IMAGES,
    ),
    Option(
        "weights",
        None,
        "the extractor's weights file; None: it finds them",
        kind=str,
        is_free=True,
        read_with=_OF_IMAGES,
    ),
    Option(
        "resizer",
        None,
        "how the extractor resizes: legacy_tensorflow, legacy_pytorch or clean; None: its default",
        kind=str,
        is_free=True,
        read_with=_OF_IMAGES,
    ),
    Option(
        "split",
        None,
        "split of the real images, such as test; None: that of training",
        kind=str,
        is_free=True,
        read_with=_OF_IMAGES,
    ),
    Option(
        "num_real",
        None,
        "number of real images, drawn once; None: all",
        kind=int,
        least=1,
        is_free=True,
        read_with=_OF_IMAGES,
    ),
    Option("best_by", None, "number that chooses the best checkpoint, such as ema_reverse_kl", kind=str, is_free=True),
)
_AUTOMATIC = {option.name: option for metric in modes.AUTOMATIC for option in metric.options}
ALL = (*SHARED, *_AUTOMATIC.values(), *image_metrics.OPTIONS)
OF_SAVED_RUNS = tuple(option for option in ALL if option.name not in ("every_steps", "best_by"))
