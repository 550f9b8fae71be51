"""Mixtures of isotropic Gaussians in the plane: rings, grids, curves and groups of groups, finite and endless."""

from collections.abc import Callable, Sequence

import numpy as np

from buresgan_jax import declarations
from buresgan_jax.data import options
from buresgan_jax.data._random import Stream, random_bits
from buresgan_jax.data.source import Description, Mixture, Source, decode_points
from buresgan_jax.errors import UserError


def ring_mixture(
    *, num_modes: int = 8, radius: float = 2.5, std: float = 0.01, weights: Sequence[float] | None = None
) -> Mixture:
    """Gaussians at equal distances on a circle; the defaults are the paper's ring.

    Args:
        num_modes: Number of modes; mode k lies at `radius * (sin t, cos t)`, `t = 2 pi k / num_modes`.
        radius: Radius of the circle.
        std: Standard deviation of each mode.
        weights: Relative weight of each mode, normalized here; None for equal weights.

    Returns:
        The mixture.

    Raises:
        UserError: A number is out of range, or `weights` is not one non-negative number per mode.

    References:
        H. De Meulemeester et al., "The Bures Metric for Generative Adversarial Networks", ECML-PKDD 2021, and the
        authors' code. https://arxiv.org/abs/2006.09096.
    """
    angles = 2 * np.pi * np.arange(num_modes) / max(num_modes, 1)
    return _mixture(radius * np.stack([np.sin(angles), np.cos(angles)], axis=1), std, weights)


def grid_mixture(
    *, points_per_side: int = 5, spacing: float = 2.0, std: float = 0.05, weights: Sequence[float] | None = None
) -> Mixture:
    """Gaussians on a square grid centered at the origin; the defaults are the paper's grid.

    Args:
        points_per_side: The grid has `points_per_side ** 2` modes; mode `i * points_per_side + j` lies in column i
            (from the left) and row j (from below).
        spacing: Distance between neighbors.
        std: Standard deviation of each mode.
        weights: Relative weight of each mode, normalized here; None for equal weights.

    Returns:
        The mixture.

    Raises:
        UserError: A number is out of range, or `weights` is not one non-negative number per mode.

    References:
        See `ring_mixture`.
    """
    line = spacing * (np.arange(points_per_side) - (points_per_side - 1) / 2)
    return _mixture(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2), std, weights)


def unbalanced_ring_mixture() -> Mixture:
    """The ring with std 0.05 and the first 4 of its 8 modes (half a circle) at 0.05 times the weight of the others.

    Returns:
        The mixture.

    References:
        J. Schreurs et al., "Leverage Score Sampling for Complete Mode Coverage in GANs", LOD 2021.
        https://arxiv.org/abs/2104.02373. The paper does not say which modes are depleted; here the first ones are.
    """
    return ring_mixture(std=0.05, weights=_depleted(8, num_depleted=4))


def unbalanced_grid_mixture() -> Mixture:
    """The grid with the first 10 of its 25 modes (its two left columns) at 0.05 times the weight of the others.

    Returns:
        The mixture.

    References:
        See `unbalanced_ring_mixture`.
    """
    return grid_mixture(weights=_depleted(25, num_depleted=10))


def circle_mixture() -> Mixture:
    """A circle of radius 2.5 with std 0.05, and a mode in its center that a tenth of the points belong to.

    The circle is 200 Gaussians 0.08 apart, which its density does not show: the ripple is below 0.1 %.

    Returns:
        The mixture. Its modes overlap, so that the spread inside modes is below 1 for perfect samples too.

    References:
        Xiao et al., "BourGAN: Generative Networks with Metric Embeddings", NeurIPS 2018, has such a set, whose numbers
        are not known to us. https://arxiv.org/abs/1805.07674.
    """
    circle = ring_mixture(num_modes=200).means
    return _mixture(np.concatenate([circle, np.zeros((1, 2))]), 0.05, [0.9 / 200] * 200 + [0.1])


def spiral_mixture() -> Mixture:
    """Two turns of a spiral from radius 0.5 to 4, with std 0.05: 400 Gaussians at equal distances along it.

    Returns:
        The mixture. Its modes overlap as those of `circle_mixture`.
    """
    angles = np.linspace(0, 4 * np.pi, 10_001)
    radii = 0.5 + 3.5 * angles / angles[-1]
    curve = radii[:, np.newaxis] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    places = np.linspace(0, length[-1], 400)
    return _mixture(np.stack([np.interp(places, length, axis) for axis in curve.T], axis=1), 0.05, None)


def two_scales_mixture() -> Mixture:
    """Five groups of five Gaussians: groups on a circle of radius 4, modes on circles of radius 0.4, with std 0.02.

    Distances between groups are ten times those inside them: they count equally in logarithms only.

    Returns:
        The mixture; its first five modes are those of the first group.
    """
    outer, inner = (ring_mixture(num_modes=5, radius=radius).means for radius in (4.0, 0.4))
    return _mixture((outer[:, np.newaxis] + inner).reshape(-1, 2), 0.02, None)


def sample_mixture(mixture: Mixture, indices: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws the points with the given numbers from the endless stream of a seed.

    Args:
        mixture: The distribution of the points.
        indices: Numbers of the points in the stream, integers, shape `[n]`.
        seed: Seed of the stream.

    Returns:
        The points, float32, shape `[n, 2]`, and the mode of each, int64, shape `[n]`. Point i depends on `indices[i]`,
        the seed and the mixture only.

    Raises:
        UserError: The seed is negative.
    """
    return _points(mixture, random_bits(indices, seed=seed, stream=Stream.POINTS, num_words=3))


def held_out_points(mixture: Mixture, n: int, *, seed: int, part: int = 0) -> np.ndarray:
    """Draws points of a mixture that are in no training data, of whatever seed.

    Args:
        mixture: The distribution of the points.
        n: Number of points.
        seed: Seed of the points.
        part: Number of the set: sets of one seed and different parts have no point in common.

    Returns:
        The points, float32, shape `[n, 2]`.

    Raises:
        UserError: The seed is negative.
    """
    return _points(mixture, random_bits(np.arange(n), seed=seed, stream=Stream.HELD_OUT, part=part, num_words=3))[0]


def _points(mixture, bits):
    """Makes points and their modes from three random words each."""
    mode_uniform, radius_uniform, angle_uniform = (bits >> np.uint64(11)).T * 2.0**-53  # in [0, 1)
    edges = np.cumsum(mixture.weights)[:-1]  # without the last, which rounding may put below 1
    modes = np.searchsorted(edges, mode_uniform, side="right")
    # Box-Muller; log1p(-u) is finite because u < 1.
    radius, angle = np.sqrt(-2 * np.log1p(-radius_uniform)), 2 * np.pi * angle_uniform
    normal = radius[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (mixture.means[modes] + mixture.std * normal).astype(np.float32), modes.astype(np.int64)


def mixture_source(mixture: Mixture, *, name: str, num_examples: int | None, seed: int) -> Source:
    """Makes a data set of points of a mixture; the label of a point is its mode.

    Args:
        mixture: The distribution of the points.
        name: Name of the source.
        num_examples: Size of the data set, drawn once (the paper: 10,000), or None for an endless stream. The finite
            set is the beginning of the stream.
        seed: Seed of the points.

    Returns:
        A source of float32 points of shape `(2,)`.

    Raises:
        UserError: `num_examples` is below 1, or the seed is negative.
    """
    if num_examples is not None and num_examples < 1:
        raise UserError(
            f"num_examples {num_examples} of {name!r} is below 1. Set at least 1, or None for endless data."
        )

    def draw(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return sample_mixture(mixture, indices, seed=seed)

    points, modes = draw(np.arange(num_examples or 0))  # for endless data only to check the seed
    fetch, labels = points.__getitem__, modes.__getitem__
    if num_examples is None:
        fetch, labels = lambda indices: draw(indices)[0], lambda indices: draw(indices)[1]
    return Source(name, num_examples, (2,), fetch, decode_points, labels, mixture, len(mixture.means))


def _data_set(name: str, meaning: str, make_mixture: Callable[[], Mixture]) -> declarations.Component:
    def describe(**_) -> Description:
        mixture = make_mixture()
        return Description((2,), mixture, len(mixture.means))

    @declarations.data(name, meaning, options.NUM_EXAMPLES, describe=describe, is_drawn=True)
    def build(*, seed: int, num_examples: int | None) -> Source:
        return mixture_source(make_mixture(), name=name, num_examples=num_examples, seed=seed)

    return build


ring = _data_set("ring", "8 Gaussians on a circle", ring_mixture)
grid = _data_set("grid", "25 Gaussians on a 5 x 5 grid", grid_mixture)
unbalanced_ring = _data_set("unbalanced_ring", "the ring with 4 of 8 modes depleted", unbalanced_ring_mixture)
unbalanced_grid = _data_set("unbalanced_grid", "the grid with 10 of 25 modes depleted", unbalanced_grid_mixture)
circle = _data_set("circle", "a circle with a mode in its center", circle_mixture)
spiral = _data_set("spiral", "two turns of a spiral", spiral_mixture)
two_scales = _data_set("two_scales", "5 groups of 5 Gaussians", two_scales_mixture)


def _mixture(means: np.ndarray, std: float, weights: Sequence[float] | None) -> Mixture:
    num_modes = len(means)
    if num_modes < 1 or not std >= 0:
        raise UserError(f"A mixture with {num_modes} modes and std {std} cannot be drawn. Set >= 1 modes and std >= 0.")
    relative = np.ones(num_modes) if weights is None else np.asarray(weights, np.float64)
    if relative.shape != (num_modes,) or not np.all(relative >= 0) or not 0 < relative.sum() < np.inf:
        raise UserError(
            f"weights {relative.tolist()} do not fit {num_modes} modes. "
            f"Give {num_modes} numbers of at least 0, not all 0."
        )
    return Mixture(means, float(std), relative / relative.sum())


def _depleted(num_modes: int, *, num_depleted: int, relative_weight: float = 0.05) -> np.ndarray:
    return np.where(np.arange(num_modes) < num_depleted, relative_weight, 1.0)
