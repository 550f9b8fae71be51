"""Bourgain's embedding of a metric space into Euclidean space, for a latent distribution shaped like the data."""

import functools
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import distance

from buresgan_jax.distances import checks, linalg
from buresgan_jax.distances.kernels import squared_distances

Metric = Callable[[jax.Array, jax.Array], jax.Array]

EMBEDDING_METRICS = ("euclidean", "l1", "angle")
_BLOCK_ENTRIES = 2**24  # of the distance matrix at a time
_MOST_REPORTED = 2048  # points whose pairs are compared


class MetricEmbedding(NamedTuple):
    """Points in Euclidean space whose distances follow those of a metric space.

    Attributes:
        coordinates: Shape `[n, dim]`, float64, centered; the mean squared norm of a row is `dim`, as of normal noise.
        scale: Data distance of one unit of the embedding: the geometric mean of the ratios over pairs.
        largest_root_ratio: The largest square root of a ratio of distances, the scale in the authors' code. It is not
            a length: distances 4 times as large only double it.
        distortion: The largest ratio of distances over the smallest one.
        log_distance_error: 1-Wasserstein distance between the laws of the logarithms of both kinds of distances, after
            the scale.
    """

    coordinates: np.ndarray
    scale: float
    largest_root_ratio: float
    distortion: float
    log_distance_error: float


def embedding_dim(num_points: int, *, repetitions: int = 5, base_probability: float = 0.5) -> int:
    """Returns the dimension of Bourgain's embedding, `repetitions * ceil(log(num_points) / log(1 / probability))`.

    Raises:
        ValueError: There are fewer than 2 points, no repetition, or the probability is not between 0 and 1.
    """
    return repetitions * _num_scales(num_points, repetitions, base_probability)


def bourgain_embedding(
    points: np.ndarray | jax.Array,
    *,
    metric: Literal["euclidean", "l1", "angle", "precomputed"] | Metric = "euclidean",
    repetitions: int = 5,
    base_probability: float = 0.5,
    dim: int | None = None,
    redraw_empty: bool = True,
    seed: int = 0,
    track: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> MetricEmbedding:
    """Embeds points of any metric space: each coordinate is the distance to the nearest point of a random subset.

    The subsets hold a point with probability `base_probability^j`, for j from 1 to the logarithm of the number of
    points; each j is repeated. Coordinates are centered and scaled together. Distances between the points are kept up
    to a factor of O(log n), in theory with O(log n) repetitions.

    Args:
        points: Shape `[n, ...]`, n at least 2. With `metric="precomputed"` their distances `[n, n]`.
        metric: `"euclidean"`, `"l1"` and `"angle"` (the metric of cosine similarity) are of flattened points, in
            float32. Others are a function `(x [k, ...], y [n, ...]) -> [k, n]` that JAX can trace, such as one of a
            network's features.
        repetitions: Subsets of each size.
        base_probability: Probability that a point is in a subset of the largest size.
        dim: The coordinates are projected to this dimension by a random normal matrix (Johnson and Lindenstrauss).
            Default: that of `embedding_dim`, without a projection.
        redraw_empty: Whether empty subsets are drawn again. Otherwise, as in the authors' code, they leave a coordinate
            that is always 0.
        seed: Seed of the random subsets and of the projection.
        track: Wraps the loop over blocks of points, as `tqdm.tqdm` does to show its progress.

    Returns:
        The embedding as NumPy arrays and numbers. The figures use all pairs among at most 2,048 random points, without
        pairs at distance 0.

    Raises:
        ValueError: A shape or option is out of its range, distances are not finite, negative or not symmetric, or all
            of them are 0.

    Note:
        Cost O(n^2) distances and O(repetitions n^2) comparisons, on the default device, in blocks of about 100 MB.
        From 4 dimensions on, Euclidean distances below about 2e-3 of the points' distance from their mean are 0 in
        float32.

    References:
        Xiao et al., "BourGAN: Generative Networks with Metric Embeddings", NeurIPS 2018.
        https://arxiv.org/abs/1805.07674. Bourgain, "On Lipschitz Embedding of Finite Metric Spaces in Hilbert Space",
        1985. Empty subsets apart, the coordinates are those of the authors' code.
    """
    if dim is not None and dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}.")
    random, num_points = np.random.default_rng(seed), len(points)
    subsets = _draw_subsets(random, num_points, repetitions, base_probability, redraw_empty)
    distances = _distances_to_all(points, metric)
    raw = _distances_to_subsets(distances, num_points, subsets, track)
    coordinates = _normalized(raw)
    if dim is not None:
        coordinates = _normalized(coordinates @ random.normal(size=(coordinates.shape[1], dim)))
    chosen = np.sort(random.permutation(num_points)[:_MOST_REPORTED])
    blocks = np.array_split(chosen, -(-len(chosen) * num_points // _BLOCK_ENTRIES))
    between = np.concatenate([distances(block)[:, chosen] for block in blocks])
    return MetricEmbedding(coordinates, *_figures(between, coordinates[chosen]))


def log_distance_error(distances: np.ndarray, others: np.ndarray) -> float:
    """Computes the 1-Wasserstein distance between the laws of the logarithms of two sets of distances.

    Args:
        distances: Distances of any shape. Those that are 0 do not count.
        others: Distances of any shape, of other pairs; the sizes may differ.

    Returns:
        A plain number. 0.1 is an error of about 10 % of the distances.

    Raises:
        ValueError: A distance is negative or not finite, or a set has none above 0.
    """
    logs = []
    for each in (distances, others):
        each = np.asarray(each, np.float64)
        if not np.isfinite(each).all() or (each < 0).any():
            raise ValueError("Distances must be finite and at least 0.")
        positive = each[each > 0]
        if not len(positive):
            raise ValueError("log_distance_error needs distances above 0 in both sets.")
        logs.append(np.sort(np.log(positive)))
    first, second = logs
    levels = np.union1d(np.arange(1, len(first)) / len(first), np.arange(1, len(second)) / len(second))
    edges = np.concatenate([[0.0], levels, [1.0]])
    middles = (edges[1:] + edges[:-1]) / 2
    quantiles = (each[np.minimum((middles * len(each)).astype(int), len(each) - 1)] for each in (first, second))
    return float(np.sum(np.diff(edges) * np.abs(next(quantiles) - next(quantiles))))


def _num_scales(num_points, repetitions, base_probability):
    if num_points < 2 or repetitions < 1 or not 0 < base_probability < 1:
        raise ValueError(
            "The embedding needs at least 2 points, 1 repetition and a probability between 0 and 1, got "
            f"{num_points} points, {repetitions} repetitions and {base_probability}."
        )
    if base_probability == 0.5:
        return (num_points - 1).bit_length()  # exact; rounding of logarithms may add one
    return int(np.ceil(np.log(num_points) / -np.log(base_probability) - 1e-9))


def _draw_subsets(random, num_points, repetitions, base_probability, redraw_empty):
    """Numbers of the points in each subset, all sizes of the first repetition first."""
    num_scales = _num_scales(num_points, repetitions, base_probability)
    subsets = []
    for probability in base_probability ** np.tile(np.arange(1, num_scales + 1), repetitions):
        subset = np.flatnonzero(random.uniform(size=num_points) < probability)
        for _ in range(100 if redraw_empty else 0):
            if len(subset):
                break
            subset = np.flatnonzero(random.uniform(size=num_points) < probability)
        subsets.append(subset if len(subset) or not redraw_empty else random.integers(num_points, size=1))
    return subsets


def pairwise_distances(x: jax.Array, y: jax.Array, *, metric: str) -> jax.Array:
    """Computes the distances between the rows of two batches.

    Args:
        x: Shape `[n, dim]`, float32 or float64.
        y: Shape `[m, dim]`, same dtype.
        metric: `"euclidean"`, `"l1"` or `"angle"`, in radians between the rows as vectors; a row of zeros has a right
            angle with all others.

    Returns:
        Shape `[n, m]`. Euclidean distances of 4 dimensions or more are 0 where rounding hides them.

    Raises:
        ValueError: The metric is another one, an array does not have two axes, or the dims differ.
        TypeError: A dtype is not a real floating one, or the dtypes differ.
    """
    checks.check_choice("metric", metric, EMBEDDING_METRICS)
    checks.check_batches(x=x, y=y)
    if metric == "l1":
        return jax.lax.map(lambda row: jnp.sum(jnp.abs(y - row[None]), axis=1), x, batch_size=8)
    if metric == "angle":
        chords = _euclidean(linalg.unit_rows(x), linalg.unit_rows(y))
        return 2 * jnp.arcsin(jnp.minimum(chords / 2, 1))
    return _euclidean(x, y)


def _euclidean(x, y):
    center = jnp.mean(y, axis=0, keepdims=True)
    sizes = jnp.sum((x - center) ** 2, axis=1)[:, None] + jnp.sum((y - center) ** 2, axis=1)[None]
    squared = squared_distances(x, y)
    hidden = 0.0 if x.shape[1] <= 3 else 16 * jnp.finfo(x.dtype).eps
    return linalg.safe_sqrt(jnp.where(squared <= hidden * sizes, 0, squared))


def _distances_to_all(points, metric):
    """A function from numbers of points to their distances to all points, a NumPy array `[k, n]`."""
    if isinstance(metric, str) and metric == "precomputed":
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or len(points) != points.shape[1]:
            raise ValueError(f"Distances must have the shape [n, n], got {points.shape}.")
        is_distance = np.isfinite(points).all() and (points >= 0).all() and not np.diagonal(points).any()
        if not is_distance or not np.allclose(points, points.T):
            raise ValueError("Distances must be finite, at least 0, symmetric, and 0 on the diagonal.")
        return lambda numbers: points[numbers]
    points = jnp.asarray(points, jnp.result_type(float))
    if isinstance(metric, str):
        checks.check_choice("metric", metric, (*EMBEDDING_METRICS, "precomputed"))
        points, metric = points.reshape(len(points), -1), functools.partial(pairwise_distances, metric=metric)
    measure = jax.jit(metric)

    def distances(numbers):
        found = np.array(measure(points[numbers], points), np.float64)
        if not np.isfinite(found).all() or (found < 0).any():
            raise ValueError("The metric gave distances that are not finite, or below 0.")
        found[np.arange(len(numbers)), numbers] = 0
        return found

    return distances


def _distances_to_subsets(distances, num_points, subsets, track=iter):
    """Distance of every point to the nearest one of each subset, `[n, subsets]`."""
    rows, found = max(1, _BLOCK_ENTRIES // num_points), []
    for start in track(range(0, num_points, rows)):
        numbers = np.arange(start, min(start + rows, num_points))
        block = distances(numbers)
        found.append(np.stack([block[:, each].min(1) if len(each) else np.zeros(len(block)) for each in subsets], 1))
    return np.concatenate(found)


def _normalized(coordinates):
    """Centered coordinates with the squared norms of normal noise."""
    centered = coordinates - coordinates.mean(0)
    size = np.sqrt(np.square(centered).sum(1).mean())
    if not size > 0:
        raise ValueError("All distances between the points are 0.")
    return centered * (np.sqrt(centered.shape[1]) / size)


def _figures(distances, coordinates):
    pairs = np.triu_indices(len(coordinates), 1)
    wanted, embedded = distances[pairs], distance.pdist(coordinates)  # the same order of pairs
    counted = (wanted > 0) & (embedded > 1e-6)
    if not counted.any():
        raise ValueError("All distances between the points are 0.")
    wanted, embedded = wanted[counted], embedded[counted]
    ratios = wanted / embedded
    scale = float(np.exp(np.mean(np.log(ratios))))
    error = log_distance_error(wanted, scale * embedded)
    return scale, float(np.sqrt(ratios.max())), float(ratios.max() / ratios.min()), error
