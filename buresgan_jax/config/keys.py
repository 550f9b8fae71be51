"""Keys of a config and their declarations: checks, what a resumed run or one vmap may differ in, what is read."""

import ast
import contextlib
import functools
from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import config_dict

from buresgan_jax.config import catalog
from buresgan_jax.config.options import GENERAL
from buresgan_jax.declarations import KINDS, Component, Option
from buresgan_jax.errors import UserError, did_you_mean, one_line, split_names
from buresgan_jax.evaluation import image_metrics
from buresgan_jax.evaluation import options as evaluation_options

# Kinds of which a config chooses one, by `<kind>.name`; the options of all of them are in the group of that name.
SLOTS = tuple(kind for kind in KINDS if kind not in ("term", "metric", "extractor"))
_METRICS = "evaluation.metrics"
_ALL = GENERAL | {"evaluation": evaluation_options.ALL}


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config (or its JSON) as `{"group.key": value}`."""
    flat = {}
    for key, value in dict(config).items():
        if isinstance(value, dict | config_dict.ConfigDict):
            flat |= {f"{key}.{name}": item for name, item in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def general_options() -> dict[str, Option]:
    """The declarations of keys that every config has, by key: all but those of terms and of components from outside."""
    found = {f"{group}.{each.name}".lstrip("."): each for group, options in _ALL.items() for each in options}
    for kind in SLOTS:
        for component in catalog.BUILT_IN[kind].values():
            for option in component.options:
                found.setdefault(f"{kind}.{option.name}", option)
    return found


def chosen(config: Mapping[str, Any]) -> dict[str, Component]:
    """The components that a config names, by key; terms by `terms.<name>`.

    Raises:
        UserError: A name that stands for nothing, or a config that is not of a run.
    """
    for group in (*SLOTS, "terms", "evaluation"):
        if group not in config:
            raise UserError(
                f"This is no config of a run: it has no {group!r}. A config file begins with "
                "config = buresgan_jax.config.default(argument). A suite is for buresgan_jax.suite."
            )
    found = {f"{kind}.name": catalog.find(kind, config[kind]["name"], f"config.{kind}.name") for kind in SLOTS}
    for text in config["terms"]:
        term = catalog.find("term", text, "the config's argument, METHOD+TERM,")
        found[f"terms.{term.name}"] = term
    for text in split_names(config["evaluation"]["metrics"]):
        if ":" in text:
            found[f"evaluation.metrics.{text}"] = catalog.find("metric", text, "config.evaluation.metrics")
    return found


def group_of(component: Component) -> str:
    """The group of a config that holds a component's options."""
    if component.kind in ("metric", "extractor"):
        return "evaluation"
    return component.name if component.kind == "term" else component.kind


def declared(config: Mapping[str, Any]) -> dict[str, Option]:
    """The declaration of every key of a config."""
    found = general_options()
    for component in chosen(config).values():
        found |= {f"{group_of(component)}.{option.name}": option for option in component.options}
    return found


def free_keys(config: Mapping[str, Any]) -> set[str]:
    """Keys that do not change the training so far; a resumed run may differ in them."""
    return {key for key, option in declared(config).items() if option.is_free}


def traced_keys(config: Mapping[str, Any]) -> set[str]:
    """Keys whose values are traced: runs that differ in nothing else can train under one vmap."""
    return {key for key, option in declared(config).items() if option.is_traced}


def unread(config: Mapping[str, Any], keys: Collection[str]) -> dict[str, str]:
    """Reasons why some keys change nothing in a config, by key; those that change something are not in it."""
    values, options, reasons = flatten(config), declared(config), {}
    own = {key: each for key, each in chosen(config).items() if each.path is not None}
    for key in set(keys) & options.keys():
        for other, names in _readers(key, options[key]):
            found = values[other]
            is_read = found in names if other != _METRICS else not set(split_names(found)).isdisjoint(names)
            if not is_read and not _is_read_by(own, key):
                reasons[key] = f"config.{other} is {found!r}; {key} counts with {' or '.join(map(repr, names))}"
                break
    return reasons


def _readers(key, option):
    """Pairs of another key, and those of its values with which this one is read; all of them must agree."""
    group, _, name = key.rpartition(".")
    if group == "encoder":
        known = catalog.BUILT_IN["algorithm"].values()
        yield "algorithm.name", [each.name for each in known if each.facts["modules"]]
    elif group in SLOTS and name not in {each.name for each in GENERAL[group]}:
        known = catalog.BUILT_IN[group].values()
        yield f"{group}.name", [each.name for each in known if name in each.own_names]
    elif group == "evaluation":
        known = catalog.BUILT_IN["metric"].values()
        if names := [each.name for each in known if name in each.own_names]:
            yield _METRICS, [*names, *(short for short, long in image_metrics.SHORT_NAMES.items() if long in names)]
    if option.read_with is not None:
        yield option.read_with


def _is_read_by(own, key):
    """Whether one of the chosen components from outside, by `chosen`'s keys, reads a key."""
    group, _, name = key.rpartition(".")
    slot = {"encoder": "algorithm.name", "evaluation": f"{_METRICS}."}.get(group, f"{group}.name")
    found = [each for key, each in own.items() if key.startswith(slot)]
    return any(each.facts["modules"] if group == "encoder" else name in each.own_names for each in found)


def add_option(config: config_dict.ConfigDict, key: str, option: Option) -> None:
    """Puts the default of an option into a config."""
    group = config
    with config.unlocked():
        for name in key.split(".")[:-1]:
            if name not in group:
                group[name] = config_dict.ConfigDict()
            group = group[name]
        if option.default is None:
            group[option.name] = config_dict.placeholder(option.kind)
        else:
            group[option.name] = option.default


def complete(config: config_dict.ConfigDict) -> None:
    """Adds the options, at their defaults, of components from outside that an assignment or override has named."""
    known = flatten(config)
    for component in chosen(config).values():
        for option in component.options:
            key = f"{group_of(component)}.{option.name}"
            if key not in known:
                add_option(config, key, option)


def check(config: config_dict.ConfigDict) -> None:
    """Checks all values of a config against their declarations, and what its components require of each other.

    Raises:
        UserError: A value is out of range, or does not fit another one.
    """
    complete(config)
    values = flatten(config)
    for key, option in declared(config).items():
        check_value(key, option, values[key])
    for component in chosen(config).values():
        for key, wanted in component.facts.get("requires", {}).items():
            if values[key] != wanted:
                raise UserError(
                    f"The {component.kind} {component.name!r} has its own order of steps and objectives: config.{key} "
                    f"must be {wanted!r}, got {values[key]!r}."
                )
        try:
            component.check(values)
        except ValueError as error:
            raise UserError(str(error)) from error


def check_value(key: str, option: Option, value: Any) -> None:
    """Raises UserError where a value is not what its declaration allows."""
    if value is None and option.default is None:
        return
    kind = option.value_type
    if kind is tuple and option.limits:
        numbers = value if isinstance(value, tuple | list) else ()
        if not numbers or not all(_is_of(int, each) and not option.violated(each) for each in numbers):
            raise UserError(
                f"config.{key} must be the {option.meaning}, whole numbers of {option.limits}, got {value}. "
                f"Set, say, config.{key}={option.default}."
            )
    elif kind in _NOUNS and not _is_of(kind, value):
        raise UserError(f"config.{key} must be {_NOUNS[kind]}, got {value!r}.")
    elif kind in (int, float) and (limit := option.violated(value)):
        raise UserError(f"config.{key} must be {limit}, got {value}.")
    if option.choices and value not in option.choices:
        names = [str(choice) for choice in option.choices]
        raise UserError(
            f"Unknown {option.name} {value!r}.{did_you_mean(value, names)} Available: {', '.join(names)}. "
            f"Set config.{key} to one of these."
        )


# Keys that the config's argument sets, together with others that follow from them.
_ARGUMENTS = ("method", "smoke", "terms")
_ARGUMENT_HINT = "it is the argument of the config file. Write --config=FILE.py:METHOD+TERM, or FILE.py:METHOD,smoke."


def check_overrides(config: config_dict.ConfigDict, overrides: Mapping[str, Any]) -> None:
    """Checks that a config still is what its file made, but for some keys.

    Args:
        config: The config with the overrides.
        overrides: The keys that were overridden, with their values.

    Raises:
        UserError: A key is set by the config's argument or is a whole group, or a component was changed and the options
            of another one are left.
    """
    for key, value in overrides.items():
        if key in _ARGUMENTS:
            raise UserError(f"config.{key}={value}: {_ARGUMENT_HINT}")
        if isinstance(value, config_dict.ConfigDict):
            raise UserError(f"config.{key} is a group. Give its keys one by one: config.{key}.KEY=VALUE.")
    values = flatten(config)
    for key, component in chosen(config).items():
        for option in component.options if key in overrides else ():
            own = f"{component.kind}.{option.name}"
            others = [
                each
                for other in catalog.BUILT_IN[component.kind].values()
                for each in other.options
                if each.name == option.name and each.default != option.default and each.default == values[own]
            ]
            if others and own not in overrides:
                raise UserError(
                    f"config.{key}={component.key} would keep config.{own}={values[own]}, the default of another "
                    f"{component.kind}; its own is {option.default}. Write --config=FILE.py:METHOD+{component.key}, or "
                    f"set config.{own}."
                )


_NOUNS = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}


def _is_of(kind, value):
    """Whether a value is of a type; whole numbers are floats too, and truth values are no numbers."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def parse_value(config: config_dict.ConfigDict, key: str, word: str) -> Any:
    """The value that a config takes from `key=word`, as on the command line.

    Raises:
        UserError: There is no such key, or the word does not fit.
    """
    known = flatten(config)
    if key not in known:
        hint = did_you_mean(key, known, "python -m buresgan_jax.main --list=keys lists all keys.")
        raise UserError(f"Unknown config key {key!r}.{hint}")
    if key in _ARGUMENTS:
        raise UserError(f"{key}={word}: {_ARGUMENT_HINT}")
    *groups, name = key.split(".")
    kind = functools.reduce(lambda group, inner: group[inner], groups, config).get_type(name)
    value = None if word == "None" else word
    if kind is not str:
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(word)
    if kind is int and not isinstance(value, int | None):
        raise UserError(f"{key}={word} does not fit: the config needs {kind.__name__}.")
    changed = config.copy_and_resolve_references()
    try:
        changed.update_from_flattened_dict({key: value})
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}={word} does not fit: {one_line(error)}") from error
    value = flatten(changed)[key]
    check_value(key, declared(config)[key], value)
    return value
