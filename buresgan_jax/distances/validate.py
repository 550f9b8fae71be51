"""Checks of values, outside of jit, that the array functions do not make.

Values are unknown inside `jax.jit`, so nothing is checked there: NaN and infinity propagate, a matrix that is not
symmetric is replaced by its symmetric part, and negative eigenvalues count as zero. Call these functions where data
enter the program.
"""

import jax.numpy as jnp
import numpy as np

from buresgan_jax.distances import checks


def covariances(*, rtol: float | None = None, **matrices) -> None:
    """Checks that matrices are finite, symmetric and positive semidefinite, and that their shapes and dtypes match.

    Args:
        rtol: The tolerance for rounding, relative to the largest entry of a matrix. Default: 100 * dim * eps of its
            dtype.
        **matrices: Matrices by name, each `[..., dim, dim]`. The names appear in the message.

    Raises:
        ValueError: A matrix is not finite, not symmetric, or has a negative eigenvalue, or the shapes do not match.
        TypeError: A dtype is not floating, or the dtypes differ.

    Note:
        Cost O(dim^3) per matrix, on the host.
    """
    precisions = {name: np.asarray(matrix).dtype for name, matrix in matrices.items()}
    matrices = {name: _as_array(matrix) for name, matrix in matrices.items()}
    checks.check_covariances(**matrices)
    for name, matrix in matrices.items():
        _check_finite(name, matrix)
        tolerance = 100 * matrix.shape[-1] * float(jnp.finfo(precisions[name]).eps) if rtol is None else rtol
        scale = np.abs(matrix).max(axis=(-2, -1))
        skew = np.abs(matrix - np.swapaxes(matrix, -2, -1)).max(axis=(-2, -1))
        _raise_at(skew > tolerance * scale, skew, f"{name} is not symmetric: entries differ from their mirror by")
        smallest = np.linalg.eigvalsh(matrix.astype(np.float64))[..., 0]
        _raise_at(smallest < -tolerance * scale, smallest, f"{name} is not positive semidefinite: it has eigenvalue")


def features(**batches) -> None:
    """Checks that batches of features `[..., n, dim]` are finite and that their dims and dtypes match.

    Raises:
        ValueError: A value is not finite, a batch is empty, or the dims differ.
        TypeError: A dtype is not floating, or the dtypes differ.
    """
    batches = {name: _as_array(batch) for name, batch in batches.items()}
    checks.check_features(**batches)
    for name, batch in batches.items():
        _check_finite(name, batch)


def _as_array(array):
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype in (jnp.float16, jnp.bfloat16) else array


def _check_finite(name, array):
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} has {len(bad)} values that are not finite, the first is {array[index]} at index {index}. "
            "Remove them, or find out where they come from."
        )


def _raise_at(wrong, values, message):
    """Raises ValueError for the first matrix of a stack for which `wrong` holds."""
    where = np.argwhere(wrong)
    if len(where):
        index = tuple(int(i) for i in where[0])
        place = f" (matrix {index} of the stack)" if index else ""
        raise ValueError(f"{message} {values[index]:.3g}{place}. Use (A + A.T) / 2, a larger rtol, or another matrix.")
