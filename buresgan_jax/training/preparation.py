"""What an algorithm makes of the data before its first step, kept in the workdir until a checkpoint holds it."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

from buresgan_jax.errors import UserError
from buresgan_jax.runtime import files

FILE = "prepared.npz"


def prepared_arrays(like: Any, compute: Callable[[], Any], file: epath.Path, facts: Any, *, is_writer: bool) -> Any:
    """Reads the prepared arrays of a run, or computes and keeps them.

    A run that is stopped between its preparation and its first checkpoint finds them again. On several processes, the
    first one computes them, and the others get its arrays.

    Args:
        like: Shapes and dtypes of the arrays, `Algorithm.prepared_like`.
        compute: Computes them on the host; may take minutes.
        file: Where they are kept.
        facts: JSON values that the arrays depend on; a file that was made with others is not used.
        is_writer: Whether this process computes and writes.

    Returns:
        NumPy arrays in the structure of `like`.

    Raises:
        UserError: What was computed does not have the declared structure, shapes and dtypes.
    """
    if not jax.tree.leaves(like):
        return like
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    arrays = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    if is_writer:
        found = _load(file, like, digest)
        if found is None:
            found = _checked(compute(), like)
            _save(file, found, digest)
        arrays = found
    return multihost_utils.broadcast_one_to_all(arrays) if jax.process_count() > 1 else arrays


def _checked(computed, like):
    try:
        arrays = jax.tree.map(lambda leaf, value: np.asarray(value, leaf.dtype), like, computed)
    except ValueError as error:
        raise UserError(f"prepare returned another structure than its prepared_like: {error}.") from error
    leaves = zip(jax.tree_util.tree_leaves_with_path(like), jax.tree.leaves(arrays), strict=True)
    for (path, leaf), array in leaves:
        name = jax.tree_util.keystr(path)
        if array.shape != tuple(leaf.shape):
            raise UserError(f"prepare returned {name} of shape {array.shape}, prepared_like says {tuple(leaf.shape)}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(f"prepare returned {name} with values that are not finite.")
    return arrays


def _load(file, like, digest):
    """The arrays of a file; None where there is none, or one of other facts, or a damaged one."""
    leaves, tree = jax.tree.flatten(like)
    try:
        content = files.read_arrays(file)
        if str(content["digest"]) != digest:
            return None
        arrays = [content[str(number)] for number in range(len(leaves))]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        logging.warning("Cannot read %s (%s): it is computed again.", file, error)
        return None
    return _checked(jax.tree.unflatten(tree, arrays), like)


def _save(file, arrays, digest):
    numbered = {str(number): leaf for number, leaf in enumerate(jax.tree.leaves(arrays))}
    with files.replacing(file) as opened:
        np.savez(opened, digest=digest, **numbered)
