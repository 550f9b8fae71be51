"""Pictures of what the averaged generator of a run does with its latent space."""

from typing import Any

import jax
import numpy as np
from etils import epath

from buresgan_jax import data
from buresgan_jax.algorithms import Algorithm
from buresgan_jax.evaluation import latent_pictures, pictures
from buresgan_jax.training.sampling import BATCH

_NUM_POINTS = 1024  # of each kind in a panel
_NUM_LINES = {"points": 10, "images": 8}
_NUM_DOTS = {"points": 101, "images": 8}  # on a line


def draw_latent(
    folder: epath.Path, algorithm: Algorithm, state: Any, key: jax.Array, description: data.Description, *, title: str
) -> dict[str, epath.Path]:
    """Writes `interpolation.png`, and `latent.png` of points whose latent distribution has centers.

    Args:
        folder: The folder of the files.
        algorithm: The algorithm, built for one device.
        state: The state.
        key: Decides z.
        description: What is known of the data.
        title: The title of pictures of points.

    Returns:
        The files, by the names of the pictures.
    """
    kind, of_centers = description.kind, algorithm.latent.centers
    z = np.asarray(jax.jit(algorithm.latent.sample, static_argnums=2)(state.latent, key, _NUM_POINTS))
    generate = jax.jit(algorithm.generate)

    def make(z):
        return _in_batches(lambda rows: generate(state, rows), z)

    files = {"interpolation": folder / "interpolation.png"}
    if kind == "images":
        images = make(_lines(z, np.arange(len(z)), kind).reshape(-1, z.shape[1]))
        pictures.save_png(files["interpolation"], pictures.image_grid(images, columns=_NUM_DOTS[kind]))
        return files
    samples, mixture = pictures.in_plane(make(z)), description.mixture
    labels = np.arange(len(z)) if mixture is None else latent_pictures.nearest(samples, mixture.means)
    lines = _lines(z, labels, kind)
    known = {"title": title, "mixture": mixture}
    if mixture is not None:
        known["real"] = data.sample_mixture(mixture, np.arange(_NUM_POINTS), seed=0)[0]
    made = pictures.in_plane(make(lines.reshape(-1, z.shape[1]))).reshape(*lines.shape[:2], 2)
    latent_pictures.interpolation(files["interpolation"], made, **known)
    if of_centers is not None:
        centers = np.asarray(jax.jit(of_centers)(state.latent))
        centers = centers[:: -(-len(centers) // _NUM_POINTS)]
        files["latent"] = folder / "latent.png"
        of_z = {"z": z, "samples": samples, "centers": centers, "center_samples": pictures.in_plane(make(centers))}
        latent_pictures.latent_panels(files["latent"], **of_z, **known)
    return files


def _lines(z: np.ndarray, labels: np.ndarray, kind: str) -> np.ndarray:
    """Straight lines between neighboring z, `[lines, dots, dim]`; pairs of different labels come first."""
    starts, ends = z[0::2], z[1::2]
    chosen = np.argsort(labels[0::2] == labels[1::2], kind="stable")[: _NUM_LINES[kind]]
    way = np.linspace(0, 1, _NUM_DOTS[kind], dtype=z.dtype)[:, np.newaxis]
    return (1 - way) * starts[chosen, np.newaxis] + way * ends[chosen, np.newaxis]


def _in_batches(function, rows):
    """A jitted function of many rows, in one compiled size of at most `BATCH`."""
    size = min(len(rows), BATCH)
    padded = np.resize(rows, (-(-len(rows) // size) * size, *rows.shape[1:]))
    parts = [np.asarray(function(padded[start : start + size])) for start in range(0, len(padded), size)]
    return np.concatenate(parts)[: len(rows)]
