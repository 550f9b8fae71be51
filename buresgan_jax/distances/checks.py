"""Checks of shapes and dtypes, which are known during tracing. `validate` checks values, outside of jit."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from buresgan_jax.errors import did_you_mean


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of the allowed names."""
    if value not in allowed:
        hint = did_you_mean(value, allowed)
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.{hint}")


def check_array(name: str, array: jax.Array) -> None:
    """Raises TypeError for lists and numbers, which jit would split into scalars."""
    if not hasattr(array, "dtype"):
        raise TypeError(f"{name} must be an array, got {type(array).__name__}. Convert it first: jnp.asarray({name}).")


def check_floating(name: str, array: jax.Array) -> None:
    """Raises TypeError unless the array is float32 or float64, as `public.in_float32` leaves float16 and bfloat16."""
    check_array(name, array)
    if array.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(
            f"{name} must be float64, float32, bfloat16 or float16, got {array.dtype}. Convert it first: "
            f"{name}.astype(jnp.float32)."
        )


def check_same_dtype(**arrays: jax.Array) -> None:
    """Raises TypeError unless all arrays are float32, or all are float64."""
    for name, array in arrays.items():
        check_floating(name, array)
    if len({array.dtype for array in arrays.values()}) > 1:
        dtypes = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise TypeError(f"{' and '.join(arrays)} must have equal dtypes, got {dtypes}. Convert them to one dtype.")


def check_square(name: str, matrix: jax.Array) -> None:
    """Raises ValueError unless the array is `[..., dim, dim]`, and TypeError unless it is float32 or float64."""
    check_array(name, matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise ValueError(
            f"{name} must be square matrices of shape [..., dim, dim], got shape {matrix.shape}. "
            "For a batch of feature vectors use the function that ends in _from_features."
        )
    check_floating(name, matrix)


def check_covariances(**matrices: jax.Array) -> None:
    """Raises unless all matrices are square and have equal sizes and dtypes."""
    for name, matrix in matrices.items():
        check_square(name, matrix)
    _check_same_dim("dim", "Compute them from features of the same layer.", matrices)
    check_same_dtype(**matrices)


def _check_same_dim(what, advice, arrays):
    if len({array.shape[-1] for array in arrays.values()}) > 1:
        shapes = " and ".join(str(array.shape) for array in arrays.values())
        raise ValueError(f"{' and '.join(arrays)} must have equal {what}, got shapes {shapes}. {advice}")


def check_last_axis(name: str, array: jax.Array, size: int, what: str) -> None:
    """Raises ValueError unless the array is `[..., size]`."""
    check_array(name, array)
    if array.ndim < 1 or array.shape[-1] != size:
        raise ValueError(f"{name} must have shape [..., {size}], {what}, got shape {array.shape}.")


def check_batches(**batches: jax.Array) -> None:
    """Raises unless all arrays are single batches `[n, dim]`, for functions that return a scalar."""
    for name, batch in batches.items():
        check_array(name, batch)
        if batch.ndim != 2:
            raise ValueError(
                f"{name} must be one batch of feature vectors [n, dim], got shape {batch.shape}. For a stack of "
                "batches use jax.vmap."
            )
    check_features(**batches)


def check_features(**batches: jax.Array) -> None:
    """Raises unless all arrays are non-empty batches `[..., n, dim]` of equal dim and dtype."""
    for name, batch in batches.items():
        check_array(name, batch)
        if batch.ndim < 2 or 0 in batch.shape[-2:]:
            raise ValueError(
                f"{name} must be a non-empty batch of feature vectors [..., n, dim], got shape {batch.shape}. "
                f"Flatten each example first: {name}.reshape(len({name}), -1)."
            )
    advice = "Take both from the same layer; only their numbers of rows may differ."
    _check_same_dim("feature dim", advice, batches)
    check_same_dtype(**batches)
