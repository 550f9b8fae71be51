"""Declarations: each component of a run says once what it is called, what it does and which options it has.

From these declarations come the config's groups and defaults, the checks of values, the choices of a resumed run and of
a sweep, `--list` and docs/keys.md. A component of your own is declared in the same way (docs/your_own.md):

    @declarations.term("ball", "keeps samples inside a ball", Option("radius", 3.0, "radius of the ball", least=0))
    def ball(step, key, *, radius):
        return jnp.mean(jax.nn.relu(jnp.linalg.norm(step.local.fake, axis=-1) - radius))
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from buresgan_jax.errors import UserError

_UNSET = object()
MOST_INT, _MOST_FLOAT = 2**31 - 1, 3e38  # devices count in int32 and compute in float32
MOST_SEED = 2**32 - 1  # JAX takes the lower 32 bits of a seed
KINDS = ("algorithm", "loss", "term", "latent", "generator", "discriminator", "data", "metric", "extractor")


class Option(NamedTuple):
    """One key of a config.

    Attributes:
        name: Its name in its group.
        default: Its value unless something sets it.
        meaning: One line.
        kind: Its type. Default: that of `default`; needed where that is None.
        least: The least value, for numbers and for each of a tuple of numbers.
        most: The largest value. Default: what int32 and float32 hold, in which devices count and compute.
        below: Values are smaller than this.
        choices: All allowed values; empty: any.
        is_free: Whether a resumed run may differ in it, because it does not change the training so far.
        is_traced: Whether runs that differ in it can train under one vmap: it is an entry of `state.hyperparameters`.
            A term's function gets that entry; options of losses, latents, networks and data cannot be traced.
        read_with: Another key and those of its values with which this option is read; None: always. Of
            `evaluation.metrics`, names of which one must be among them.
        smoke: Its value in a smoke run. Default: unchanged.
    """

    name: str
    default: Any
    meaning: str
    kind: type | None = None
    least: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    is_free: bool = False
    is_traced: bool = False
    read_with: tuple[str, tuple[Any, ...]] | None = None
    smoke: Any = _UNSET

    @property
    def has_smoke(self) -> bool:
        """Whether a smoke run has another value."""
        return self.smoke is not _UNSET

    @property
    def value_type(self) -> type:
        """Its type; `tuple` for several whole numbers or names."""
        return self.kind or type(self.default)

    @property
    def limits(self) -> str:
        """The allowed numbers in words, such as `at least 0 and below 1`; empty: any."""
        ends = (("at least", self.least), ("at most", self.most), ("below", self.below))
        return " and ".join(f"{word} {end}" for word, end in ends if end is not None)

    def violated(self, number: float) -> str:
        """The limit that a number violates, such as `at least 0`; empty: it is allowed."""
        most = self.most or (_MOST_FLOAT if self.value_type is float else MOST_INT)
        if number != number or abs(number) == math.inf:
            return "a finite number"
        if self.least is not None and number < self.least:
            return f"at least {self.least}"
        if self.below is not None and number >= self.below:
            return f"below {self.below}"
        return "" if -most <= number <= most else f"at most {most}"


@dataclasses.dataclass(frozen=True)
class Component:
    """One choice of a kind, such as the loss `hinge`. Calling it builds it, with the declared defaults.

    Attributes:
        kind: One of `KINDS`.
        name: Its name in a config.
        meaning: One line.
        build: Makes it from its options, given by name, and from what its kind gets besides (see the decorators).
        options: Its own options.
        facts: What its kind must know before it is built (see the decorators).
        check: Raises ValueError where other values of the config do not fit; gets all values by key.
        path: `package.module:object` of a component from outside; None for a built-in one.
    """

    kind: str
    name: str
    meaning: str
    build: Callable[..., Any]
    options: tuple[Option, ...] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], None] = lambda values: None
    path: str | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Builds it; options that are not given have their declared defaults."""
        defaults = {option.name: option.default for option in self.options if option.name in self.own_names}
        return self.build(*args, **(defaults | options))

    @property
    def own_names(self) -> tuple[str, ...]:
        """Names of the options that `build` takes: all but those that every component of its kind has."""
        return tuple(option.name for option in self.options if option not in self.facts.get("shared", ()))

    def options_in(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """The values of its own options in a group of a config."""
        values = {name: group[name] for name in self.own_names}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    @property
    def key(self) -> str:
        """How a config names it: its path where it has one."""
        return self.path or self.name


SCHEDULES = ("constant", "linear", "cosine")

# Of every term, beside its own.
TERM_OPTIONS = (
    Option("weight", 1.0, "multiplies the term", least=0, is_traced=True),
    Option("schedule", "constant", "of the weight's factor", choices=SCHEDULES),
    Option("schedule_start", 1.0, "factor at step 0", least=0),
    Option("schedule_end", 1.0, "factor from schedule_steps on", least=0),
    Option("schedule_steps", 1, "steps from the first factor to the last", least=1),
)


def term(
    name: str,
    meaning: str,
    *options: Option,
    player: str = "generator",
    weight: float = 1.0,
    check: Callable[[Mapping[str, Any]], None] = lambda values: None,
    memory: Callable[..., Any] | None = None,
) -> Callable[[Callable], Component]:
    """Declares a term, a decorator of `(step, key, **options) -> value`, or `-> (value, metrics)`.

    Args:
        name: Its name, under which its value is logged, and that of its group in a config.
        meaning: One line.
        *options: Its own options; `weight` and a schedule of the weight come with every term.
        player: Whose objective it is added to, `generator` or `discriminator`.
        weight: The default weight.
        check: See `Component`.
        memory: `(**options) -> penalties.Memory`, from the term's own options but the traced ones. The function finds
            its arrays in `step.state.buffers[name]`. Default: the term remembers nothing.
    """
    if player not in ("generator", "discriminator"):
        raise UserError(f"The player of the term {name!r} must be generator or discriminator, got {player!r}.")
    shared = (TERM_OPTIONS[0]._replace(default=weight), *TERM_OPTIONS[1:])
    facts = {"player": player, "shared": shared, "memory": memory}
    return _declare("term", name, meaning, (*options, *shared), facts, check, _bind)


def _bind(function):
    def build(**options):
        return functools.partial(function, **options)

    return build


def loss(name: str, meaning: str, *options: Option) -> Callable[[Callable], Component]:
    """Declares a loss, a decorator of `(**options) -> AdversarialLoss`."""
    return _declare("loss", name, meaning, options)


def latent(name: str, meaning: str, *options: Option) -> Callable[[Callable], Component]:
    """Declares a latent distribution, a decorator of `(dim, **options) -> Latent(dim, sample)`.

    `sample(arrays, key, n)` gets the arrays of the latent's preparation, or `()` where there is none.
    """
    return _declare("latent", name, meaning, options)


def generator(name: str, meaning: str, *options: Option, data: str = "any") -> Callable[[Callable], Component]:
    """Declares a generator, a decorator of `(example_shape, *, axis_name, dtype, **options) -> module`.

    Args:
        name: Its name.
        meaning: One line.
        *options: Its own options.
        data: The kind of data that it makes: `points`, `images`, or `any`.
    """
    return _declare("generator", name, meaning, options, {"data": data})


def discriminator(
    name: str, meaning: str, *options: Option, data: str = "any", takes_pairs: bool = False
) -> Callable[[Callable], Component]:
    """Declares a discriminator, a decorator of `(example_shape, *, output_dim, axis_name, dtype, **options) -> module`.

    Args:
        name: Its name.
        meaning: One line.
        *options: Its own options.
        data: The kind of data that it takes: `points`, `images`, or `any`.
        takes_pairs: Whether the function takes a keyword `pairs`, for discriminators of pairs (z, sample).
    """
    return _declare("discriminator", name, meaning, options, {"data": data, "takes_pairs": takes_pairs})


def algorithm(
    name: str,
    meaning: str,
    *options: Option,
    modules: tuple[str, ...] = (),
    sees_pairs: bool = False,
    requires: Mapping[str, Any] | None = None,
    check: Callable[[Mapping[str, Any]], None] = lambda values: None,
) -> Callable[[Callable], Component]:
    """Declares an algorithm, a decorator of `(game, **options) -> Algorithm`.

    Args:
        name: Its name.
        meaning: One line.
        *options: Its own options. One with `is_traced=True` must be the hyperparameter of that name in the game.
        modules: Further networks of the config that the function takes as keywords: `encoder`, `reconstructor`.
        sees_pairs: Whether its discriminator sees pairs (z, sample).
        requires: Values that other keys must have, by key.
        check: See `Component`.
    """
    facts = {"modules": modules, "sees_pairs": sees_pairs, "requires": dict(requires or {})}
    return _declare("algorithm", name, meaning, options, facts, check)


def data(
    name: str,
    meaning: str,
    *options: Option,
    describe: Callable[..., Any],
    is_drawn: bool = False,
    fingerprint: Callable[..., str] | None = None,
) -> Callable[[Callable], Component]:
    """Declares a data set, a decorator of `(*, seed, **options) -> Source`.

    Args:
        name: Its name.
        meaning: One line.
        *options: Its own options.
        describe: `(**options) -> data.Description`, known without opening the data.
        is_drawn: Whether the seed decides which examples there are.
        fingerprint: `(**options) -> text` that differs when the files of the data do, quickly found; for data in files.
            Its free options are the places where the files may lie.
    """
    facts = {"describe": describe, "is_drawn": is_drawn, "fingerprint": fingerprint}
    return _declare("data", name, meaning, options, facts)


def metric(
    name: str, meaning: str, *options: Option, larger_is_better: bool | Mapping[str, bool]
) -> Callable[[Callable], Component]:
    """Declares a metric, a decorator of `(samples, **options) -> number`, or `-> {name: number}`.

    Args:
        name: Its name, and that of its number.
        meaning: One line.
        *options: Its own options.
        larger_is_better: Of the number, or of each of several numbers by name.
    """
    if not isinstance(larger_is_better, Mapping):
        larger_is_better = {name: larger_is_better}
    return _declare("metric", name, meaning, options, {"larger_is_better": dict(larger_is_better)}, wrap=_bind)


def extractor(name: str, meaning: str, *options: Option) -> Callable[[Callable], Component]:
    """Declares an extractor of features, a decorator of `(weights, *, resizer, **options) -> Extractor`.

    Args:
        name: Its name.
        meaning: One line.
        *options: Its own options; a weights file and a way of resizing come with every extractor.
    """
    return _declare("extractor", name, meaning, options)


# Keys that a group has for all components of its kind.
_TAKEN = {
    "latent": {"name", "dim"},
    "generator": {"name", "dtype"},
    "discriminator": {
        *("name", "dtype", "output_dim", "sampled_outputs", "pack"),
        *("spectral_norm", "spectral_multiplier", "spectral_warm_up"),
    },
    "algorithm": {"name", "objective_scale"},
    "data": {"name", "resident"},
    "term": set(),
}


def _declare(kind, name, meaning, options, facts=None, check=lambda values: None, wrap=lambda function: function):
    if not name.isidentifier():
        raise UserError(f"A {kind} must have a name of letters, digits and _, got {name!r}.")
    names = [option.name for option in options]
    if twice := {each for each in names if names.count(each) > 1}:
        raise UserError(f"The {kind} {name!r} declares {', '.join(sorted(twice))} twice.")
    if taken := sorted(_TAKEN.get(kind, {"name"}) & set(names)):
        raise UserError(f"An option of a {kind} cannot be called {taken[0]!r}: its group has such a key already.")
    if kind not in ("term", "algorithm") and (traced := [option.name for option in options if option.is_traced]):
        raise UserError(f"The option {traced[0]!r} of the {kind} {name!r} cannot be traced: only a term's can.")

    def decorate(function):
        parameters = inspect.signature(function).parameters
        takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
        component = Component(kind, name, meaning, wrap(function), tuple(options), facts or {}, check)
        if missing := set(component.own_names) - set(parameters) if not takes_any else ():
            named = ", ".join(sorted(missing))
            raise UserError(f"The {kind} {name!r} declares {named}, which its function does not take as keywords.")
        for attribute in ("__doc__", "__module__", "__wrapped__"):  # so that help() and editors show the function's
            object.__setattr__(component, attribute, getattr(function, attribute, function))
        return component

    return decorate
