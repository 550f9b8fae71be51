"""Pictures of what a generator does with its latent space: groups of z and where they go, and lines between two z."""

import numpy as np
from etils import epath
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from buresgan_jax import data
from buresgan_jax.evaluation import pictures

# Ottosson, "A perceptual color space for image processing", 2020. https://bottosson.github.io/posts/oklab/
_OKLAB_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def latent_panels(
    path: epath.PathLike,
    *,
    z: ArrayLike,
    samples: ArrayLike,
    centers: ArrayLike,
    center_samples: ArrayLike,
    real: ArrayLike | None = None,
    mixture: data.Mixture | None = None,
    title: str = "",
) -> None:
    """Draws data, centers of a latent distribution, z and samples side by side, and writes the picture as PNG.

    Points of the plane have the color of their nearest mode, or of their place where no modes are known. Centers and z
    have the color of the sample that the generator makes of them. A group of centers of two colors is torn apart by
    the generator; two groups of one color go to the same mode.

    Args:
        path: A local path or a URL; missing folders are made.
        z: Latent samples, shape `[n, latent_dim]`.
        samples: What the generator makes of them, shape `[n, 2]`.
        centers: The centers, shape `[m, latent_dim]`. They and z are drawn along the two directions in which the
            centers vary most.
        center_samples: What the generator makes of the centers, shape `[m, 2]`.
        real: Samples of the data, shape `[k, 2]`. Default: no panel of the data.
        mixture: The true distribution, if it is a known mixture.
        title: Text above the picture.
    """
    samples, center_samples = np.asarray(samples, np.float64), np.asarray(center_samples, np.float64)
    (flat_centers, flat_z), share = _in_principal_plane(np.asarray(centers, np.float64), np.asarray(z, np.float64))
    plane, margin = _reference(mixture, real, samples)
    latent = np.concatenate([flat_centers, flat_z]), 0.0
    directions = f"two directions, {100 * share:.0f} % of the variance"
    # The points, what their color depends on, the extent of the panel and its margin, and the text below.
    panels = {} if real is None else {"data": (np.asarray(real), np.asarray(real), (plane, margin), [])}
    panels["latent centers"] = flat_centers, center_samples, latent, [directions]
    panels["latent samples"] = flat_z, samples, latent, ["the same directions"]
    panels["generated samples"] = samples, samples, (plane, margin), []
    width = 3.4 * len(panels)
    figure = Figure(figsize=(width, 3.95), dpi=110)
    for number, (name, (points, places, extent, text)) in enumerate(panels.items()):
        axes = figure.add_axes(((3.4 * number + 0.45) / width, 0.165, 2.85 / width, 0.7215))
        axes.scatter(*points.T, s=5, c=place_colors(places, plane, mixture), alpha=0.7, linewidths=0)
        axes.set_xlabel(", ".join(text + pictures.frame(axes, points, *extent)), fontsize=8)
        axes.set_title(name, fontsize=10, pad=4)
        axes.tick_params(labelsize=7)
    what = "the mode nearest to" if mixture else "the place of"
    caption = f"color: {what} a point; for centers and z, {what} the sample made of them"
    figure.text(0.5, 0.025, caption, fontsize=9, ha="center")
    if title:
        figure.suptitle(title, fontsize=11, y=0.995)
    pictures.write_figure(path, figure)


def interpolation(
    path: epath.PathLike,
    lines: ArrayLike,
    *,
    real: ArrayLike | None = None,
    mixture: data.Mixture | None = None,
    title: str = "",
) -> None:
    """Draws what the generator makes of straight lines in z over the data, and writes the picture as PNG.

    Dots are equally far apart in z. A row of dense dots between modes is a bridge of samples; where the dots are far
    apart the generator jumps.

    Args:
        path: A local path or a URL; missing folders are made.
        lines: Shape `[lines, dots, 2]`.
        real: Samples of the data, shape `[n, 2]`, drawn in gray below.
        mixture: The true distribution, if it is a known mixture.
        title: Text above the picture.
    """
    lines = np.asarray(lines, np.float64)
    dots, text = lines.reshape(-1, 2), ["dots: equally far apart in z"]
    figure = Figure(figsize=(6.0, 6.1), dpi=110)
    axes = figure.add_axes((0.1, 0.09, 0.87, 0.856))
    if real is not None:
        axes.scatter(*np.asarray(real).T, s=4, color=pictures.GRAY, alpha=0.35, linewidths=0)
    for number, line in enumerate(lines):
        color = f"C{number % 10}"
        axes.plot(*line.T, "o-", color=color, linewidth=0.5, markersize=2.5, markeredgewidth=0, zorder=3)
        axes.plot(*line[[0, -1]].T, "o", color=color, markersize=6, markeredgecolor="black", zorder=4)
    if mixture is not None:
        distances = np.linalg.norm(dots[:, None] - mixture.means, axis=-1).min(1)
        text += [f"{100 * np.mean(distances <= 3 * mixture.std):.0f} % of them near a mode"]
    text += pictures.frame(axes, dots, *_reference(mixture, real, dots))
    axes.set_xlabel(", ".join(text), fontsize=9)
    axes.set_title(title)
    pictures.write_figure(path, figure)


def nearest(points: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Returns the number of the mean nearest to each point, `[n]`."""
    return np.square(points[:, None] - means).sum(-1).argmin(1)


def place_colors(points: np.ndarray, reference: np.ndarray, mixture: data.Mixture | None = None) -> np.ndarray:
    """Returns a color for each point of the plane, `[n, 3]`: its angle gives the hue, its radius the lightness.

    Args:
        points: Shape `[n, 2]`.
        reference: Points whose extent is that of the colors, shape `[m, 2]`.
        mixture: All points nearest to one of its modes have the color of the mode's mean.
    """
    if mixture is not None:
        points = mixture.means[nearest(points, mixture.means)]
    center = (reference.min(0) + reference.max(0)) / 2
    x, y = (points - center).T / max(np.linalg.norm(reference - center, axis=1).max(), 1e-9)
    radius, angle = np.minimum(np.hypot(x, y), 1), np.arctan2(y, x)
    chroma = 0.16 * np.sqrt(radius)
    oklab = np.stack([0.3 + 0.4 * radius, chroma * np.cos(angle), chroma * np.sin(angle)], axis=1)
    linear = np.clip((oklab @ _OKLAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _reference(mixture, real, samples):
    """The points that give a panel its extent, and the margin around them."""
    if mixture is not None:
        return mixture.means, 3 * mixture.std
    return np.asarray(samples if real is None else real), 0.0


def _in_principal_plane(points, *others):
    """Points and others in the plane along which `points` vary most, and its share of the variance."""
    mean = points.mean(0)
    _, sizes, directions = np.linalg.svd(points - mean, full_matrices=False)
    share = np.square(sizes[:2]).sum() / max(np.square(sizes).sum(), 1e-30)
    return [pictures.in_plane((each - mean) @ directions[:2].T) for each in (points, *others)], share
