"""A mixture of Gaussians whose centers are arranged like the data: the latent distribution of BourGAN."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csgraph
from scipy.spatial import distance

from buresgan_jax import declarations, distances, ops
from buresgan_jax.declarations import Option
from buresgan_jax.errors import UserError
from buresgan_jax.latents.base import Latent, Preparation
from buresgan_jax.runtime import progress_bar

_MOST_IN_TREE = 2048  # points whose gaps are looked at


@declarations.latent(
    "embedding",
    "Gaussians around a metric embedding of the data (BourGAN)",
    Option("num_points", 1000, "random examples that are embedded", least=2, most=50_000, smoke=32),
    Option("metric", "euclidean", "distance between examples", choices=distances.EMBEDDING_METRICS),
    Option("repetitions", 5, "random subsets of each size", least=1, most=1000),
    Option("noise", None, "standard deviation of each Gaussian; None: from distances inside groups", float, least=0),
    Option("noise_factor", 1.0, "factor on the automatic noise", least=0, read_with=("latent.noise", (None,))),
    Option(
        "distance_scale",
        "geometric_mean",
        "scale for the term latent_distance: the mean of all ratios, or the authors' rule",
        choices=("geometric_mean", "largest_root"),
    ),
)
def embedding(
    dim: int,
    *,
    num_points: int,
    metric: str,
    repetitions: int,
    noise: float | None,
    noise_factor: float,
    distance_scale: str,
) -> Latent:
    """Gaussians of equal weight and width around the coordinates of `distances.bourgain_embedding`.

    Args:
        dim: Dimension of z. Where it is not `embedding_dim(num_points, repetitions=repetitions)`, a random
            projection leads to it.
        num_points: Random examples of the data.
        metric: See `distances.bourgain_embedding`.
        repetitions: See `distances.bourgain_embedding`.
        noise: Standard deviation in each direction. The authors' is 0.01. Default: `noise_within_groups` times
            `noise_factor`.
        noise_factor: With 1, the noise is as long as the distances inside groups; in each direction it is shorter than
            a group is wide. With `sqrt(dim)`, it is as long in each direction, and a group becomes one Gaussian.
        distance_scale: What `distance_scale` of the arrays is: `"geometric_mean"`, `scale` of the embedding, or
            `"largest_root"`, the authors' `largest_root_ratio`.

    Returns:
        The distribution. Its arrays are `centers`, `[num_points, dim]`, `index`, `[num_points]`, the sorted numbers of
        the embedded examples, `noise` and `distance_scale`.

    References:
        Xiao et al., "BourGAN: Generative Networks with Metric Embeddings", NeurIPS 2018.
        https://arxiv.org/abs/1805.07674.
    """

    def sample(arrays, key, n):
        choice_key, noise_key = jax.random.split(key)
        chosen = arrays["centers"][jax.random.randint(choice_key, (n,), 0, num_points)]
        return chosen + arrays["noise"] * ops.normal(noise_key, (n, dim))

    compute = functools.partial(
        _fit,
        dim=dim,
        num_points=num_points,
        metric=metric,
        repetitions=repetitions,
        noise=noise,
        noise_factor=noise_factor,
        distance_scale=distance_scale,
    )
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    centers = jax.ShapeDtypeStruct((num_points, dim), jnp.float32)
    index = jax.ShapeDtypeStruct((num_points,), jnp.int32)
    like = {"centers": centers, "index": index, "noise": scalar, "distance_scale": scalar}
    return Latent(dim, sample, Preparation(compute, like), lambda arrays: arrays["centers"])


def _fit(source, seed, *, dim, num_points, metric, repetitions, noise, noise_factor, distance_scale):
    available = source.num_examples or num_points  # of an endless stream, the first ones
    if num_points > available:
        raise UserError(
            f"The latent 'embedding' needs {num_points} examples, the data have {available}. Set "
            "config.latent.num_points to fewer."
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(available)[:num_points])
    points = np.asarray(source.decode(source.fetch(chosen)))
    own_dim = distances.embedding_dim(num_points, repetitions=repetitions)
    try:
        found = distances.bourgain_embedding(
            points,
            metric=metric,
            repetitions=repetitions,
            dim=None if dim == own_dim else dim,
            seed=seed,
            track=functools.partial(progress_bar.track, description="embedding"),
        )
    except ValueError as error:
        raise UserError(f"The data cannot be embedded: {error}") from error
    return {
        "centers": found.coordinates,
        "index": chosen,
        "noise": noise_factor * noise_within_groups(found.coordinates) if noise is None else noise,
        "distance_scale": found.scale if distance_scale == "geometric_mean" else found.largest_root_ratio,
    }


def noise_within_groups(centers: np.ndarray) -> float:
    """Chooses the noise around centers: about as long as the distances inside the groups that they form.

    The mixture then fills a group and leaves the gaps. With less noise, z is nearly one of the centers, and the
    generator may map each to a point. With more, the term `latent_distance` asks for samples as far apart as the noise
    is long, which is too far for the data of one group.

    The edges of the shortest tree that joins all centers are short inside groups and long between them. The first step
    by a factor of 2 or more among the longer half of their lengths separates the gaps. Without one, the centers form
    one group without an inside, and the noise has the length of a median edge. A group may be a curve, which noise as
    long as itself would leave: the length is at most the median radius of a ball around a center that holds a twentieth
    of all centers.

    Args:
        centers: Shape `[n, dim]`. At most 2,048 of them are looked at.

    Returns:
        A standard deviation in each direction, above 0. The length of the noise is `sqrt(2 * dim)` times as much.
    """
    centers = centers[np.random.default_rng(0).permutation(len(centers))[:_MOST_IN_TREE]]
    distances = distance.squareform(distance.pdist(centers))
    distances = np.maximum(distances, 1e-6 * distances.max() or 1.0)  # a distance of 0 is no edge
    tree = csgraph.minimum_spanning_tree(distances)
    edges = np.sort(tree.data)
    steps = edges[len(edges) // 2 + 1 :] / edges[len(edges) // 2 : -1]
    length = np.median(edges)
    if (steps >= 2).any():
        gap = edges[len(edges) // 2 + 1 + (steps >= 2).argmax()]
        tree.data[tree.data >= gap] = 0
        tree.eliminate_zeros()
        groups = csgraph.connected_components(tree)[1]
        is_inside = np.triu(groups[:, None] == groups, 1)
        rank = max(1, len(centers) // 20)  # 0 is the center itself
        length = min(np.median(distances[is_inside]), np.median(np.partition(distances, rank, axis=1)[:, rank]))
    return float(length / np.sqrt(2 * centers.shape[1]))
