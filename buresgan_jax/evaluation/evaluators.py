"""Evaluators: samples of a generator in, numbers out, each with how it was made.

An entry is `{"value": ..., ...}`: the number, and beside it whatever says how it was made, such as `n_fake` (how many
samples), `made_from` and the options. Where a number is not defined on some samples, `value` is None and `undefined`
gives the reason. All values are plain Python ones.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from buresgan_jax.errors import UserError, choose

Entry = dict[str, Any]
LogRatio = Callable[[np.ndarray], np.ndarray]
_RAW, AVERAGED = "", "ema_"  # before the names of numbers, by the generator that made the samples


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Computes numbers of samples, of points and of images alike.

    Attributes:
        options: The options that each of its numbers depends on, by the number's name: keys of `config.evaluation`.
        larger_is_better: For each number that tells the better of two generators, whether larger is better.
        settings: Values of all its options by name; results under equal settings belong together.
        measure: `samples -> {name: entry}`; if it uses the discriminator, `(samples, log_ratio) -> {name: entry}`.
        is_costly: Whether it takes so long that training evaluates the averaged generator only.
        uses_discriminator: Whether it looks at the discriminator too. It then gets samples of the raw generator only,
            against which the discriminator is trained.
    """

    options: Mapping[str, tuple[str, ...]]
    larger_is_better: Mapping[str, bool]
    settings: Mapping[str, Any]
    measure: Callable[..., dict[str, Entry]]
    is_costly: bool = False
    uses_discriminator: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its numbers."""
        return tuple(self.options)

    def __call__(self, samples: np.ndarray, log_ratio: LogRatio | None = None) -> dict[str, Entry]:
        """Evaluates samples.

        Args:
            samples: Finite points `[n, dim]`, or images in [-1, 1], `[n, height, width, channels]`.
            log_ratio: The discriminator's estimate of the log ratio of the densities, for those that use it.

        Returns:
            Entries by the name of the number.

        Raises:
            UserError: The samples do not fit, or something that the evaluator needs is missing.
        """
        return self.measure(samples, log_ratio) if self.uses_discriminator else self.measure(samples)


def evaluate(
    evaluators: Sequence[Evaluator],
    draw: Callable[..., np.ndarray],
    log_ratio: LogRatio | None = None,
    *,
    in_training: bool = False,
) -> Iterator[tuple[str, Entry]]:
    """Evaluates the raw and the averaged generator; the names of the latter's numbers begin with `ema_`.

    Args:
        evaluators: The evaluators.
        draw: Draws samples, `draw(ema=False)` of the raw generator and `draw(ema=True)` of the averaged one.
        log_ratio: See `Evaluator`.
        in_training: Whether costly evaluators look at the averaged generator only.

    Yields:
        Names and entries. If some samples of a generator are not finite, only their number, `non_finite_samples`.
    """
    for prefix in (_RAW, AVERAGED):
        chosen = [each for each in evaluators if prefix in _prefixes(each, in_training)]
        if not chosen:
            continue
        samples = draw(ema=prefix == AVERAGED)
        if bad := int((~np.isfinite(samples)).reshape(len(samples), -1).any(1).sum()):
            yield f"{prefix}non_finite_samples", {"value": bad, "n_fake": len(samples), "made_from": "all samples"}
            continue
        for each in chosen:
            for name, entry in each(samples, log_ratio).items():
                yield prefix + name, entry


def _prefixes(evaluator, in_training):
    if evaluator.uses_discriminator:
        return (_RAW,)
    return (AVERAGED,) if in_training and evaluator.is_costly else (_RAW, AVERAGED)


def best_choice(evaluators: Sequence[Evaluator], best_by: str, num_samples: int) -> dict[str, Any]:
    """Finds out how a number that training computes chooses the best checkpoint.

    Args:
        evaluators: The evaluators of the run.
        best_by: Name of the number, such as `ema_reverse_kl`.
        num_samples: How many samples are evaluated.

    Returns:
        Arguments of `BestCheckpoint`: `larger_is_better`, and `made_by`, the values of the options that the number
        depends on.

    Raises:
        UserError: No evaluator has a number of this name by which generators can be compared.
    """
    table = {
        prefix + name: (each, name)
        for each in evaluators
        for name in each.larger_is_better
        for prefix in _prefixes(each, True)
    }
    if evaluators and not table:
        raise UserError(
            f"config.evaluation.best_by is {best_by!r}, but no number that is evaluated tells the better of two "
            "generators. Name another metric in evaluation.metrics."
        )
    if not table:
        raise UserError(f"config.evaluation.best_by is {best_by!r}, but nothing is evaluated. Set evaluation.metrics.")
    evaluator, name = choose("number", best_by, table, "config.evaluation.best_by")
    made_by = {option: evaluator.settings[option] for option in evaluator.options[name]}
    return {"larger_is_better": evaluator.larger_is_better[name], "made_by": {"num_samples": num_samples, **made_by}}


def check_names(evaluators: Sequence[Evaluator]) -> None:
    """Raises a UserError if two evaluators have numbers of one name."""
    counts = collections.Counter(name for each in evaluators for name in each.names)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise UserError(f"Two metrics have a number called {twice[0]!r}. Rename one of them.")
