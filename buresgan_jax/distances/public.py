"""The form of the public functions: arrays by position, options by name, compiled, with signatures that editors see."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from buresgan_jax.errors import did_you_mean

Array = jax.Array | npt.NDArray[Any]
_P = ParamSpec("_P")
_R = TypeVar("_R")


def jit(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compiles a function of arrays. Its keyword-only arguments are its options, and static.

    Unlike `jax.jit` it keeps the signature for type checkers, and explains a call that does not fit.

    Raises:
        TypeError: An option is given by position, or has an unknown name.
    """
    return explained(jax.jit(in_float32(function), static_argnames=_options(inspect.signature(function))))


def explained(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Explains a call that does not fit a function of arrays, whose keyword-only arguments are its options.

    Raises:
        TypeError: An option is given by position, or has an unknown name.
    """
    signature = inspect.signature(function)
    known, options = signature.parameters.keys(), _options(signature)
    num_arrays = len(known) - len(options)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if len(args) > num_arrays or str in map(type, args) or not known >= kwargs.keys():
            raise TypeError(_explain(function.__name__, signature, options, args, kwargs))
        return function(*args, **kwargs)

    return call


def _options(signature):
    kind = inspect.Parameter.KEYWORD_ONLY
    return [name for name, parameter in signature.parameters.items() if parameter.kind is kind]


def in_float32(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Computes a function of float16 or bfloat16 arrays in float32. Results and gradients have the arrays' dtype.

    Raises:
        TypeError: Some arrays are float16 or bfloat16, and others are not.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        arrays = [each for each in (*args, *kwargs.values()) if hasattr(each, "dtype")]
        half = next((each.dtype for each in arrays if each.dtype in (jnp.float16, jnp.bfloat16)), None)
        if half is None:
            return function(*args, **kwargs)
        if any(each.ndim and each.dtype != half for each in arrays):
            dtypes = ", ".join(str(each.dtype) for each in arrays)
            raise TypeError(
                f"{function.__name__} needs arrays of equal dtypes, got {dtypes}. Convert them to one dtype."
            )

        def widen(each):
            return each.astype(jnp.float32) if hasattr(each, "dtype") else each

        result = function(*map(widen, args), **{name: widen(each) for name, each in kwargs.items()})
        return result.astype(half)

    return call


def _explain(name, signature, options, args, kwargs):
    """Returns the sentence about a call that does not fit the signature."""
    known = signature.parameters
    unknown = next((each for each in kwargs if each not in known), None)
    if unknown is not None:
        return f"{name} has no argument {unknown!r}." + did_you_mean(unknown, known, f"It has {', '.join(known)}.")
    arrays = ", ".join(each for each in known if each not in options)
    wrong = next((each for each in args if isinstance(each, str)), args[-1])
    found = repr(wrong) if np.ndim(wrong) == 0 else f"{len(args)} arrays"
    message = f"{name} takes only arrays by position ({arrays}), got {found}."
    if not options:
        return f"{message} It has no options."
    example = next((f"{each}={wrong!r}" for each in options if wrong in get_args(known[each].annotation)), None)
    return f"{message} Options go by name: {example or ', '.join(options)}."
