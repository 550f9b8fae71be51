"""Flags of `--mode=evaluate` and `--mode=sample`."""

from typing import Any

from absl import flags

OUT = flags.DEFINE_string("out", "samples.png", "sample: x.png, x.npz, or a folder for one PNG per image.")
NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", None, "sample: how many (64); evaluate: of how many (as in the config).", lower_bound=1
)
CHECKPOINT = flags.DEFINE_string("checkpoint", "newest", "sample, evaluate: newest, best, or a step; evaluate: all.")
SEED = flags.DEFINE_integer("seed", 0, "sample, evaluate: of the latent draws (training: config.seed).")
EMA = flags.DEFINE_bool("ema", True, "sample: the averaged generator, or (--noema) the raw one.")

# Each is a key of config.evaluation too, and replaces it.
_CHANGES = (
    flags.DEFINE_string("metrics", None, "evaluate: metrics of images, with commas between them."),
    flags.DEFINE_string("split", None, "evaluate: of the real images, such as test; default: as in training."),
    flags.DEFINE_integer("num_real", None, "evaluate: so many of them; default: all.", lower_bound=1),
    flags.DEFINE_string("extractor", None, "evaluate: of the features that metrics of images are made from."),
    flags.DEFINE_string("weights", None, "evaluate: the extractor's file of weights."),
    flags.DEFINE_string("resizer", None, "evaluate: how it resizes: legacy_tensorflow, legacy_pytorch, clean."),
    flags.DEFINE_integer("subset_size", None, "evaluate: of kernel_distance.", lower_bound=2),
    flags.DEFINE_integer("num_splits", None, "evaluate: of inception_score and inception_variance.", lower_bound=1),
    flags.DEFINE_integer("num_neighbors", None, "evaluate: of precision_recall.", lower_bound=1),
)


def changes() -> dict[str, Any]:
    """The keys of `config.evaluation` that flags replace."""
    return {flag.name: flag.value for flag in (NUM_SAMPLES, *_CHANGES) if flag.value is not None}
