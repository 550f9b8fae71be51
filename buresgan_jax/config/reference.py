"""What there is to choose: lists for the terminal, and the reference page docs/keys.md, made from the declarations."""

from collections.abc import Iterable, Mapping
from typing import Any

from buresgan_jax.config import catalog, keys
from buresgan_jax.config.methods import METHODS
from buresgan_jax.config.options import GENERAL
from buresgan_jax.declarations import TERM_OPTIONS, Component, Option
from buresgan_jax.errors import UserError, did_you_mean
from buresgan_jax.evaluation import options as evaluation_options

# Titles of the lists, by the word that asks for one, and the kind of component in each.
_LISTS = {
    "terms": ("Terms, added to any method as METHOD+TERM", "term"),
    "losses": ("Losses, config.loss.name", "loss"),
    "latents": ("Latent distributions, config.latent.name", "latent"),
    "algorithms": ("Algorithms, config.algorithm.name", "algorithm"),
    "generators": ("Generators, config.generator.name", "generator"),
    "discriminators": ("Discriminators, config.discriminator.name", "discriminator"),
    "data": ("Data sets, config.data.name", "data"),
    "metrics": ("Metrics, config.evaluation.metrics", "metric"),
    "automatic": ("Metrics that their data bring along", "automatic"),
    "extractors": ("Extractors, config.evaluation.extractor", "extractor"),
}


def describe(word: str = "everything", config: Mapping[str, Any] | None = None) -> str:
    """The text that `--list=WORD` prints.

    Args:
        word: `everything`, `methods`, `keys`, one of the lists (`terms`, `losses`, `data`, `metrics`, ...), a config
            key or group such as `bures.weight` or `bures`, or `markdown` for docs/keys.md.
        config: A config, whose own keys are listed and explained. Default: the keys that all configs can have.

    Raises:
        UserError: There is nothing of this name.
    """
    if word == "markdown":
        return markdown()
    if word == "everything":
        lists = [_table(title, _components(kind)) for title, kind in _LISTS.values()]
        ends = "One list: --list=terms; all keys: --list=keys; one key or group: --list=bures.weight or --list=bures"
        return "\n\n".join([_methods(), *lists, ends])
    if word == "methods":
        return _methods()
    if word in _LISTS:
        title, kind = _LISTS[word]
        return _table(title, _components(kind))
    everything = list(_all_keys()) if config is None else _keys_of(config)
    options = {key: option for key, option, _ in everything}
    if word == "keys":
        return _table("Keys", {key: _line(option) for key, option in options.items()})
    chosen = {key: option for key, option in options.items() if key == word or key.startswith(f"{word}.")}
    if not chosen:
        known = [*options, *_LISTS, "methods", "keys"]
        raise UserError(f"There is no list and no key {word!r}.{did_you_mean(word, known, 'See --list=keys.')}")
    return "\n\n".join(_explain(key, option, of) for key, option, of in everything if key in chosen)


def markdown() -> str:
    """The page docs/keys.md."""
    parts = [
        "# Keys of a config",
        "Made from the declarations by `python -m buresgan_jax.main --list=markdown > docs/keys.md`; a test keeps it "
        "true. Override a key on the command line as `--config.GROUP.KEY=VALUE`. A resumed run may differ in "
        "*free* keys. Runs that differ in *traced* keys only can train under one vmap. A component's options count "
        "where the component is chosen.",
    ]
    rows = {}
    for key, option, of in _all_keys():
        rows.setdefault(key.rpartition(".")[0] or "(top)", []).append((key, option, of))
    for group, members in rows.items():
        lines = ["| Key | Default | Meaning | Of | Range | |", "| --- | --- | --- | --- | --- | --- |"]
        for key, option, of in members:
            facts = ", ".join(name for name, holds in _facts(option) if holds)
            cells = (f"`{key}`", f"`{option.default}`", _meaning(option), ", ".join(of), option.limits, facts)
            lines.append(f"| {' | '.join(cells)} |")
        parts += [f"## {group}", "\n".join(lines)]
    for title, kind in _LISTS.values():
        lines = [f"- `{name}`: {meaning}" for name, meaning in _components(kind).items()]
        parts += [f"## {title}", "\n".join(lines)]
    parts += ["## Methods", "\n".join(f"- `{name}`: {method.meaning}" for name, method in METHODS.items())]
    return "\n\n".join(parts)


def _all_keys() -> Iterable[tuple[str, Option, list[str]]]:
    """`(key, option, components that it belongs to)` for every key that a config can have."""
    for group, options in (GENERAL | {"evaluation": evaluation_options.SHARED}).items():
        for option in options:
            yield f"{group}.{option.name}".lstrip("."), option, []
        yield from _of_components(group, options)
    for term in catalog.BUILT_IN["term"].values():
        for option in term.options:
            yield f"{term.name}.{option.name}", option, [term.name]


def _keys_of(config) -> list[tuple[str, Option, list[str]]]:
    """The same of the keys of one config."""
    owners = {}
    for component in keys.chosen(config).values():
        for option in component.options:
            owners[f"{keys.group_of(component)}.{option.name}"] = [component.key]
    return [(key, option, owners.get(key, [])) for key, option in keys.declared(config).items()]


def _of_components(group, known):
    """The options of all components whose options lie in a group, each once for each default."""
    kinds = ("metric", "automatic", "extractor") if group == "evaluation" else (group,) if group in keys.SLOTS else ()
    found: dict[Option, list[str]] = {}
    for kind in kinds:
        for component in catalog.BUILT_IN[kind].values():
            for option in component.options:
                if option not in known:
                    found.setdefault(option, []).append(component.name)
    for option, names in found.items():
        yield f"{group}.{option.name}", option, names


def _components(kind) -> dict[str, str]:
    return {name: component.meaning + _own(component) for name, component in catalog.BUILT_IN[kind].items()}


def _own(component: Component) -> str:
    names = [option.name for option in component.options if option not in TERM_OPTIONS[1:]]
    return f" (options: {', '.join(names)})" if names else ""


def _methods():
    return _table("Methods, --config=FILE.py:METHOD", {name: method.meaning for name, method in METHODS.items()})


def _table(title, rows):
    width = max(map(len, rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows.items())])


def _line(option):
    return f"{option.default!r}  {_meaning(option)}"


def _meaning(option):
    choices = f" ({', '.join(map(str, option.choices))})" if option.choices else ""
    return option.meaning + choices


def _facts(option):
    return (("free", option.is_free), ("traced", option.is_traced))


def _explain(key, option, of):
    lines = [f"config.{key} = {option.default!r}", f"  {_meaning(option)}"]
    if option.limits:
        lines.append(f"  {option.limits}")
    if of:
        lines.append(f"  an option of {', '.join(of)}")
    if option.read_with:
        lines.append(f"  counts with config.{option.read_with[0]} = {' or '.join(map(repr, option.read_with[1]))}")
    lines.append(f"  a resumed run {'may' if option.is_free else 'must not'} differ in it")
    if option.is_traced:
        lines.append("  traced: runs that differ in it can train under one vmap")
    return "\n".join(lines)
