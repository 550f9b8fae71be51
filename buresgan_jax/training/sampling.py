"""Samples of a generator, and pictures of them."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from etils import epath

from buresgan_jax import data
from buresgan_jax.algorithms import Algorithm
from buresgan_jax.evaluation import pictures
from buresgan_jax.runtime import progress_bar

Sampler = Callable[..., np.ndarray]
BATCH = 256


def make_batches(algorithm: Algorithm) -> Callable[..., Iterator[np.ndarray]]:
    """Makes `(state, key, n, *, ema)` -> batches of n samples in all, on the host, drawn in one compiled size."""

    def draw(state, key, index, ema):
        return algorithm.sample(state, jax.random.fold_in(key, index), BATCH, ema=ema)

    draw = jax.jit(draw, static_argnames="ema")

    def batches(state, key, n, *, ema=True):
        # Hidden for short jobs and non-interactive output.
        for index in progress_bar.track(range(-(-n // BATCH)), description="samples", unit="batch"):
            yield np.asarray(draw(state, key, index, ema))[: n - index * BATCH]

    return batches


def make_sampler(algorithm: Algorithm) -> Sampler:
    """Makes `(state, key, n, *, ema) -> samples [n, ...]` on the host."""
    batches = make_batches(algorithm)

    def sample(state, key, n, *, ema=True):
        samples = None
        for index, batch in enumerate(batches(state, key, n, ema=ema)):
            samples = np.empty((n, *batch.shape[1:]), batch.dtype) if samples is None else samples
            samples[index * BATCH : (index + 1) * BATCH] = batch
        return samples

    return sample


def make_latent_sampler(algorithm: Algorithm) -> Callable[..., np.ndarray]:
    """Makes `(state, key, n) -> z [n, latent_dim]` on the host: the z of `make_sampler`'s samples by the same key."""

    def draw(state, key, n, *, ema):
        del ema
        return algorithm.latent.sample(state.latent, key, n)

    return make_sampler(algorithm._replace(sample=draw))


def make_log_ratio(algorithm: Algorithm) -> Callable[..., np.ndarray] | None:
    """Makes `(state, examples [n, ...]) -> log(p / q) [n, output_dim]` on the host; None if the algorithm has none."""
    if algorithm.log_ratio is None:
        return None
    of_batch = jax.jit(algorithm.log_ratio)

    def log_ratio(state, examples):
        padded = np.concatenate([examples, np.repeat(examples[-1:], -len(examples) % BATCH, axis=0)])
        batches = padded.reshape(-1, BATCH, *examples.shape[1:])
        return np.concatenate([np.asarray(of_batch(state, batch)) for batch in batches])[: len(examples)]

    return log_ratio


def draw_picture(path: epath.PathLike, samples: np.ndarray, description: data.Description, *, title: str) -> None:
    """Writes a picture as PNG: a grid of images, or a scatter of points over the true modes where they are known.

    Args:
        path: The file.
        samples: Images in [-1, 1], or points, of which the first two coordinates are drawn.
        description: What is known of the data.
        title: The title of a scatter.
    """
    if description.kind == "images":
        pictures.save_png(path, pictures.image_grid(samples))
        return
    truth = description.mixture
    modes = {} if truth is None else {"means": pictures.in_plane(truth.means), "std": truth.std}
    pictures.scatter(path, pictures.in_plane(samples), title=title, **modes)
