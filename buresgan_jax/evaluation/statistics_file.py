"""Mean and covariance of a real set in a file: `mu` and `sigma`, as pytorch-fid and clean-fid keep them."""

import json
import pathlib

import numpy as np

from buresgan_jax import metrics
from buresgan_jax.errors import UserError, one_line
from buresgan_jax.evaluation.summaries import Summary
from buresgan_jax.extractors import Extractor
from buresgan_jax.runtime import files
from buresgan_jax.runtime.paths import user_path


def save(path: str, summary: Summary, extractor: Extractor) -> None:
    """Writes the moments of a set, with how they were made.

    Args:
        path: The file, replaced as a whole.
        summary: A summary with the part `moments`.
        extractor: The extractor by which it was made.

    Raises:
        UserError: The moments of this set are not defined.
    """
    moments = summary.parts["moments"]
    if isinstance(moments, ValueError):
        raise UserError(f"{summary.name}: {moments}") from moments
    facts = {"name": summary.name, "image_shape": summary.image_shape, **_made_by(extractor)}
    with files.replacing(user_path(path, "--save_statistics")) as file:
        np.savez(file, mu=moments.mean, sigma=moments.cov, num_images=summary.num_images, facts=json.dumps(facts))


def load(path: str, extractor: Extractor) -> Summary | None:
    """Reads a file of statistics, of `save` or of another package.

    Args:
        path: The file.
        extractor: The extractor that the other set will have.

    Returns:
        Its summary, with the part `moments` only. None: the path is no `.npz` file, or one that holds images.

    Raises:
        UserError: The file is damaged, or of another extractor.
    """
    if pathlib.Path(path).suffix != ".npz":
        return None
    try:
        arrays = files.read_arrays(user_path(path, "--real"), _choose)
        if not arrays:
            return None
        facts = json.loads(str(arrays.get("facts", "{}")))
        mean, cov = (_numbers(name, arrays[name]) for name in ("mu", "sigma"))
        num_images = int(arrays.get("num_images", 0))
        made_by = {name: facts[name] for name in _made_by(extractor) if name in facts}
        shape = tuple(map(int, facts["image_shape"])) if "image_shape" in facts else None
        name = str(facts.get("name", path))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"Cannot read {path}: {one_line(error)}. Give another file.") from error
    wanted, fits = _made_by(extractor), (mean.shape, cov.shape) == ((extractor.dim,), (extractor.dim, extractor.dim))
    if not fits or any(value != wanted[name] for name, value in made_by.items()):
        raise UserError(
            f"{path} holds statistics of shapes {mean.shape} and {cov.shape}, made by "
            f"{made_by or 'an extractor unnamed there'}; {extractor.name!r} has dimension {extractor.dim}, and is "
            f"{wanted}. Choose the --extractor, --weights and --resizer that made them."
        )
    moments = metrics.GaussianStatistics(num_images, mean, cov)
    return Summary(name, num_images or None, shape, None, {"moments": moments})


def _choose(names):
    has_images = "samples" in names or files.SINGLE in names
    known = [name for name in ("mu", "sigma", "num_images", "facts") if name in names]
    return known if {"mu", "sigma"} <= set(known) and not has_images else []


def _numbers(name, array):
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{name} does not hold finite numbers")
    return array


def _made_by(extractor):
    return {"extractor": extractor.name, "resizer": extractor.resizer, "weights_sha256": extractor.sha256}
