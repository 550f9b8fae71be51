"""Evaluators of metrics that the user has declared."""

import math
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np

from buresgan_jax.declarations import Component
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import pictures
from buresgan_jax.evaluation.evaluators import Evaluator


def own_evaluator(metric: Component, values: Mapping[str, Any], kind: str) -> Evaluator:
    """Makes an evaluator of a declared metric.

    Args:
        metric: The declaration, see `declarations.metric`.
        values: Values of its options by name; those left out have their defaults, other names are ignored.
        kind: `points` or `images`, of which the metric gets float32 `[n, dim]` or uint8
            `[n, height, width, channels]`.

    Returns:
        An evaluator; of images it is costly.
    """
    settings = {option.name: values.get(option.name, option.default) for option in metric.options}
    measure, larger_is_better = metric(**settings), metric.facts["larger_is_better"]

    def evaluate(samples):
        samples = pictures.to_uint8(samples) if kind == "images" else np.asarray(samples, np.float32)
        facts = {"n_fake": len(samples), "made_from": f"{kind} by {metric.key}", **settings}
        return {name: {**facts, **found} for name, found in _measure(metric, measure, samples).items()}

    options = dict.fromkeys(larger_is_better, tuple(settings))
    return Evaluator(options, larger_is_better, settings, evaluate, is_costly=kind == "images")


def _measure(metric, measure, samples):
    names = metric.facts["larger_is_better"]
    try:
        found = measure(samples)
    except ValueError as error:
        return dict.fromkeys(names, {"value": None, "undefined": str(error)})
    except Exception as error:  # a mistake in the user's code must not end the training
        place = traceback.extract_tb(error.__traceback__)[:2][-1]
        message = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        raise UserError(f"The metric {metric.key!r} failed with {message}.") from error
    if not isinstance(found, Mapping):
        found = {metric.name: found}
    if set(found) != set(names):
        raise UserError(
            f"The metric {metric.key!r} returned {', '.join(map(str, found))}, but declares {', '.join(names)}. Make "
            "its larger_is_better name the numbers that it returns."
        )
    return {name: _entry(metric, name, found[name]) for name in names}


def _entry(metric, name, value):
    array = np.asarray(value)
    try:
        if array.shape:
            raise TypeError
        number = int(array) if array.dtype.kind in "biu" else float(array)
    except (TypeError, ValueError):
        raise UserError(f"The metric {metric.key!r} must return numbers, got {name}={value!r:.80}.") from None
    return {"value": number} if math.isfinite(number) else {"value": None, "undefined": f"it is {number}"}
