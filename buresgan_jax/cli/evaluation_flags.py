"""Flags of `--mode=evaluate` and `--mode=sample`."""

from collections.abc import Sequence
from typing import Any

from absl import flags

from buresgan_jax.declarations import MOST_INT, MOST_SEED, Option

OUT = flags.DEFINE_string("out", "samples.png", "sample: NAME.png, NAME.npz, or a folder for one PNG per image.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "newest", "sample, evaluate: newest, best, or a step; evaluate: all.")
SEED = flags.DEFINE_integer(
    "seed",
    0,
    "sample, evaluate: seed of the latent draws (training: config.seed).",
    lower_bound=0,
    upper_bound=MOST_SEED,
)
EMA = flags.DEFINE_bool("ema", True, "sample: use the averaged generator, or with --noema the raw one.")

_IN_SAMPLING = {"num_samples": "; sample: number of samples to write, default 64"}
_CHANGES: list[flags.FlagHolder] = []


def define_changes(options: Sequence[Option]) -> None:
    """Defines a flag for each option of evaluation. The flag overrides the key of `config.evaluation`.

    Args:
        options: The options. Their values are integers or text.
    """
    for option in options:
        text = f"evaluate: {option.meaning}{_IN_SAMPLING.get(option.name, '')}."
        if option.value_type is int:
            limits = {"lower_bound": option.least, "upper_bound": option.most or MOST_INT}
            flag = flags.DEFINE_integer(option.name, None, text, **limits)
        else:
            flag = flags.DEFINE_string(option.name, None, text)
        _CHANGES.append(flag)


def changes() -> dict[str, Any]:
    """Returns the values of the keys of a config that flags override, by key."""
    return {f"evaluation.{flag.name}": flag.value for flag in _CHANGES if flag.value is not None}
