"""All components by kind and name, and how a name is found: built in, or `package.module:object` from outside."""

import dataclasses
import functools
import importlib
import pathlib
import sysconfig
import traceback
from typing import Any

from buresgan_jax import algorithms, data, extractors, latents, losses, networks, penalties
from buresgan_jax.declarations import KINDS, Component
from buresgan_jax.errors import UserError, did_you_mean
from buresgan_jax.evaluation import discriminator_metrics, image_metrics, modes, point_metrics

_HOMES = (algorithms, data, extractors, latents, losses, networks, penalties)


NAMES = {"data": "data set"}  # of kinds, where messages call them something else


def _collect():
    found = {kind: {} for kind in KINDS}
    for home in _HOMES:
        for each in vars(home).values():
            if isinstance(each, Component):
                found[each.kind][each.name] = each
    found["automatic"] = {each.name: each for each in modes.AUTOMATIC}
    found["extractor"] |= extractors.EXTRACTORS
    for metrics in (image_metrics.METRICS, point_metrics.METRICS):
        found["metric"] |= {name: metric.component for name, metric in metrics.items()}
    found["metric"] |= discriminator_metrics.METRICS
    return found


BUILT_IN: dict[str, dict[str, Component]] = _collect()


def find(kind: str, text: str, key: str) -> Component:
    """The component that a name in a config stands for.

    Args:
        kind: One of `declarations.KINDS`.
        text: Its name, or `package.module:object`.
        key: The config key that names it, for messages.

    Raises:
        UserError: There is none of this name, or it is of another kind.
    """
    if not isinstance(text, str):
        raise UserError(f"{key} must be a name, got {text!r}. Available: {', '.join(sorted(BUILT_IN[kind]))}.")
    if ":" in text:
        component = load(text)
        if not isinstance(component, Component) or component.kind != kind:
            what = component.kind if isinstance(component, Component) else type(component).__name__
            wanted = NAMES.get(kind, kind)
            raise UserError(f"{text!r} is a {what}, no {wanted}. Set {key} to a {wanted}.")
        return component
    known = BUILT_IN[kind]
    if text not in known:
        hint, names = did_you_mean(text, known), ", ".join(sorted(known))
        raise UserError(
            f"Unknown {NAMES.get(kind, kind)} {text!r}.{hint} Available: {names}. Set {key} to one of these, or to "
            "your own as package.module:object."
        )
    return known[text]


@functools.cache
def load(path: str) -> Any:
    """The object at `package.module:object`.

    Raises:
        UserError: There is no such module or object.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"Cannot import {module_name!r} of {path!r}: {error}. Run from the folder that holds it, or add that "
            "folder to PYTHONPATH."
        ) from error
    except Exception as error:  # of the module's own code
        raise UserError(f"Cannot import {module_name!r} of {path!r}: {_explain(error)}") from error
    found = getattr(module, name, None)
    if found is None:
        known = [each for each, value in vars(module).items() if isinstance(value, Component)]
        raise UserError(f"{module_name!r} has no {name!r}.{did_you_mean(name, known, f'It has: {known}.')}")
    return dataclasses.replace(found, path=path) if isinstance(found, Component) else found


# Where code lies that is not the user's: Python, installed packages and this one. "<" begins what is in no file.
_NOT_OWN = (
    "<",
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    str(pathlib.Path(__file__).parents[1]),
)


def _explain(error):
    """Returns place, type and text of an error in a user's module: the last line on the way that is the user's."""
    if isinstance(error, SyntaxError):
        place, text = error, error.msg
    else:
        frames, text = traceback.extract_tb(error.__traceback__), str(error)
        place = ([each for each in frames if not each.filename.startswith(_NOT_OWN)] or frames)[-1]
    return f"{place.filename}, line {place.lineno}: {type(error).__name__}: {' '.join(text.split())}"
