"""Pictures of samples: grids of images, and scatters of two-dimensional samples over the true modes.

Nothing here needs a display, and every file appears under its name only when it is complete.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from PIL import Image
from scipy import spatial

from buresgan_jax import data, metrics
from buresgan_jax.runtime import files

SUFFIXES = (".png", ".pdf", ".svg")  # of figures
_MIN_CELL_SIZE = 64
_BATCH = 256
_MAX_COLUMNS = 5  # of a gallery
_LEGEND = {"frameon": False, "fontsize": 9, "handletextpad": 0.2, "columnspacing": 1.2}
GRAY, _BLUE, _ORANGE, _RED = "#9aa0a6", "#1f77b4", "#e8710a", "#c5221f"


def image_grid(
    images: ArrayLike, *, columns: int | None = None, padding: int = 2, scale: int | None = None
) -> np.ndarray:
    """Arranges images in a grid, row by row, on white.

    Args:
        images: Shape `[n, height, width, channels]`, channels 1 or 3; floating in [-1, 1] (clipped), or uint8.
        columns: Images in a row. Default: the grid is as square as possible.
        padding: White pixels around and between images.
        scale: Integer factor by which images are enlarged, pixel by pixel. Default: so that the longer side has at
            least 64 pixels.

    Returns:
        The grid as uint8, shape `[grid_height, grid_width, channels]`.

    Raises:
        ValueError: `images` has another shape or dtype, or an option is out of range.
    """
    images = to_uint8(images)
    n, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(n))) if columns is None else columns
    scale = -(-_MIN_CELL_SIZE // max(height, width)) if scale is None else scale
    if columns < 1 or padding < 0 or scale < 1:
        raise ValueError(
            f"image_grid needs columns >= 1, padding >= 0 and scale >= 1; got {columns}, {padding} and {scale}."
        )
    rows = -(-n // columns)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    # Each cell is an image with the padding above and to the left of it; the grid's last edges are added at the end.
    cells = np.full((rows * columns, height * scale + padding, width * scale + padding, channels), 255, np.uint8)
    cells[:n, padding:, padding:] = images
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    grid = cells.reshape(rows * cells.shape[1], columns * cells.shape[3], channels)
    return np.pad(grid, ((0, padding), (0, padding), (0, 0)), constant_values=255)


def save_png(path: epath.PathLike, array: ArrayLike) -> None:
    """Writes an image as PNG, under a temporary name first, so that no half-written picture is ever seen.

    Args:
        path: A local path or a URL such as `gs://bucket/picture.png`; missing folders are made.
        array: uint8, shape `[height, width, 3]`, `[height, width, 1]` or `[height, width]`.

    Raises:
        ValueError: The array has another shape or dtype.
    """
    array = np.asarray(array)
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3))):
        raise ValueError(
            f"save_png needs uint8 of shape [height, width, 1 or 3]; got {array.dtype} of shape {array.shape}. "
            "image_grid makes such an array of a batch of images."
        )
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array).save(buffer, format="png")
    _write(path, buffer.getvalue())


def scatter(
    path: epath.PathLike,
    samples: ArrayLike,
    *,
    real: ArrayLike | None = None,
    means: ArrayLike | None = None,
    std: float | None = None,
    title: str | None = None,
) -> None:
    """Draws two-dimensional samples over the true modes, with a legend, and writes the picture as PNG.

    Size and limits depend on `means`, or else on `real`, and not on `samples`: pictures of a training run make an
    animation. With `means` and `std`, samples within three standard deviations of a mean are blue, others orange, and
    modes that no sample reaches have a red circle. Their numbers are below the picture, with the spread inside the
    modes relative to the data's (`metrics.mode_statistics`).

    Args:
        path: A local path or a URL; missing folders are made.
        samples: Shape `[n, 2]`. Those outside the limits are counted below the picture.
        real: Samples of the data, shape `[m, 2]`, drawn in gray below.
        means: Means of the data's modes, shape `[modes, 2]`.
        std: Standard deviation of the modes; a circle of three of them is drawn around each mean.
        title: Text above the picture.

    Raises:
        ValueError: An array has another shape.
    """
    samples, real, means = (
        _check_points(name, x) for name, x in (("samples", samples), ("real", real), ("means", means))
    )
    figure = Figure(figsize=(6.0, 6.6), dpi=120)
    axes = figure.add_axes((0.1, 0.14, 0.87, 0.791))
    if real is not None:
        axes.scatter(*real.T, s=4, color=GRAY, alpha=0.35, linewidths=0)
    numbers = _draw_samples(axes, samples, means, std, size=7)
    numbers += frame(axes, samples, next(x for x in (means, real, samples) if x is not None), 3 * (std or 0.0))
    axes.set_title(title or "")
    axes.set_xlabel(", ".join(numbers), fontsize=9)
    kinds = {"data": real is not None, "samples": std is None, "quality": std is not None, "modes": means is not None}
    figure.legend(handles=_legend(**kinds), loc="lower center", ncols=5, **_LEGEND)
    write_figure(path, figure)


class Panel(NamedTuple):
    """One picture of a gallery: an image, or points over the modes of a mixture.

    Attributes:
        image: uint8, shape `[height, width, 1 or 3]`.
        caption: The text below an image. Numbers of modes are written below points.
        points: Shape `[n, 2]`.
        means: Means of the modes, shape `[modes, 2]`.
        std: Standard deviation of the modes.
    """

    image: np.ndarray | None = None
    caption: str = ""
    points: np.ndarray | None = None
    means: np.ndarray | None = None
    std: float | None = None


def gallery(
    path: epath.PathLike, panels: Sequence[Sequence[Panel | None]], *, rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draws panels in rows and columns, colored as in `scatter`, and writes the picture as PNG.

    A row of more than five panels is broken into lines of equal lengths.

    Args:
        path: A local path or a URL; missing folders are made.
        panels: `[rows][columns]`; None leaves a place empty.
        rows: The text on the left of each line.
        columns: The text above each panel.
    """
    lines_per_row = -(-len(columns) // _MAX_COLUMNS)
    width, num_lines = -(-len(columns) // lines_per_row), lines_per_row * len(rows)
    has_points = any(panel is not None and panel.points is not None for row_panels in panels for panel in row_panels)
    height = 2.9 * num_lines + (0.15 + 0.22 * -(-4 // width)) * has_points
    figure = Figure(figsize=(2.2 * width + 0.4, height), dpi=110, layout="constrained")
    all_axes = figure.subplots(num_lines, width, squeeze=False)
    for axes in all_axes.flat:
        axes.set_axis_off()
        axes.set_box_aspect(1)
    for number, (row, row_panels) in enumerate(zip(rows, panels, strict=True)):
        lines = all_axes[number * lines_per_row : (number + 1) * lines_per_row]
        for axes in lines[:, 0]:
            axes.text(-0.05, 0.5, row, transform=axes.transAxes, rotation=90, ha="right", va="center")
        for axes, panel, column in zip(lines.flat, row_panels, columns, strict=False):
            axes.set_title(column, fontsize=9)
            if panel is not None:
                _draw_panel(axes, panel)
    if has_points:
        handles = _legend(data=False, samples=False, quality=True, modes=True)
        figure.legend(handles=handles, loc="outside lower center", ncols=width, **_LEGEND)
    write_figure(path, figure)


def _draw_panel(axes, panel: Panel) -> None:
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    if panel.image is not None:
        axes.imshow(panel.image.squeeze(), cmap="gray")
        numbers = [panel.caption]
    else:
        numbers = _draw_samples(axes, panel.points, panel.means, panel.std, size=2)
        reference = panel.points if panel.means is None else panel.means
        numbers += frame(axes, panel.points, reference, 3 * (panel.std or 0.0))
    axes.set_xlabel("\n".join(numbers), fontsize=8)


def in_plane(points: np.ndarray) -> np.ndarray:
    """Returns the first two coordinates of points `[n, dim]`; the second one of `[n, 1]` is 0."""
    return np.pad(points[:, :2], ((0, 0), (0, max(0, 2 - points.shape[1]))))


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Converts images to uint8.

    Args:
        images: Shape `[n, height, width, 1 or 3]`; floating in [-1, 1] (clipped; NaN becomes black), or uint8, which
            is returned as it is.

    Raises:
        ValueError: `images` has another shape, or an integer dtype that is not uint8.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"pictures need images of shape [n, height, width, 1 or 3], n >= 1; got {images.shape}.")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind in "biuc":
        raise ValueError(f"pictures need floating images in [-1, 1] or uint8; got {images.dtype}.")
    pixels = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _BATCH):  # the steps in between take several times the memory of the images
        # JAX's bfloat16 is of no NumPy kind, hence the exclusion above. A NaN is drawn black.
        part = np.nan_to_num(images[start : start + _BATCH].astype(np.float32), nan=-1.0)
        pixels[start : start + _BATCH] = data.encode_images(np.clip(part, -1.0, 1.0))
    return pixels


def _check_points(name: str, points: ArrayLike | None) -> np.ndarray | None:
    if points is None:
        return None
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"scatter needs {name} of shape [n, 2], n >= 1; got {points.shape}.")
    return points


def _legend(*, data: bool, samples: bool, quality: bool, modes: bool) -> list[Line2D]:
    """Returns the legend's entries of what a picture can hold."""

    def entry(label, **style):
        return Line2D([], [], linestyle="none", label=label, **style)

    entries = [entry("data", marker=".", color=GRAY)] if data else []
    entries += [entry("sample", marker=".", color=_BLUE)] if samples else []
    if quality:
        entries += [entry("within 3 std of a mode", marker=".", color=_BLUE)]
        entries += [entry("elsewhere", marker=".", color=_ORANGE)]
    entries += [entry("mode", marker="+", color="black", alpha=0.6)] if modes else []
    if quality:
        missed = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgecolor": _RED}
        entries += [entry("mode not reached", **missed)]
    return entries


def _draw_modes(axes, samples: np.ndarray, means: np.ndarray, std: float | None) -> np.ndarray:
    """Draws a cross for each mean and, with `std`, a circle. Returns which samples are in which circle.

    Means in a line, such as those of a spiral, have small crosses and no circles, which would hide the samples.
    """
    in_line = std is not None and len(means) > 1 and np.median(_nearest_distances(means)) < 3 * std
    axes.scatter(*means.T, s=4 if in_line else 60, marker="+", color="black", alpha=0.6, linewidths=0.8, zorder=2)
    if std is None:
        return np.ones((len(samples), len(means)), bool)
    inside = np.linalg.norm(samples[:, None] - means[None], axis=-1) <= 3 * std
    if not in_line:
        diameters, angles = np.full(len(means), 6 * std), np.zeros(len(means))
        circles = EllipseCollection(
            diameters, diameters, angles, units="xy", offsets=means, offset_transform=axes.transData, zorder=5
        )
        circles.set(facecolor="none", edgecolor="black", linewidth=0.8, alpha=0.6)
        axes.add_collection(circles)
    missed = means[~inside.any(0)]
    axes.scatter(*missed.T, s=260, facecolors="none", edgecolors=_RED, linewidths=1.5, zorder=5)
    return inside


def _nearest_distances(points: np.ndarray) -> np.ndarray:
    return spatial.KDTree(points).query(points, k=2)[0][:, 1]


def _draw_samples(axes, samples: np.ndarray, means: np.ndarray | None, std: float | None, *, size: float) -> list[str]:
    """Draws samples, blue within three standard deviations of a mean and orange elsewhere; returns their numbers."""
    inside = np.ones((len(samples), 1), bool) if means is None else _draw_modes(axes, samples, means, std)
    good = inside.any(1)
    axes.scatter(*samples[~good].T, s=size, color=_ORANGE, alpha=0.5, linewidths=0, zorder=3)
    axes.scatter(*samples[good].T, s=size, color=_BLUE, alpha=0.5, linewidths=0, zorder=4)
    if std is None:
        return []
    spread = metrics.mode_statistics(samples[good], means, std).mode_spread if good.any() else 0.0
    numbers = [f"{inside.any(0).sum()} of {len(means)} modes reached", f"{100 * good.mean():.1f} % near a mode"]
    return [*numbers, f"spread {spread:.2f}"]


def frame(axes, samples: np.ndarray, reference: np.ndarray, margin: float) -> list[str]:
    """Sets square limits around reference points, and a grid.

    Args:
        axes: Matplotlib axes.
        samples: Points that may lie outside, shape `[n, 2]`.
        reference: Points that lie inside, shape `[m, 2]`.
        margin: Further distance from these to the limits.

    Returns:
        A text with the number of samples that lie outside; empty if none do.
    """
    reference = reference[np.isfinite(reference).all(1)]
    low, high = (reference.min(0), reference.max(0)) if len(reference) else (np.zeros(2), np.zeros(2))
    # A single point has no extent of its own.
    center, reach = (low + high) / 2, 0.6 * ((high - low).max() or 2.0) + margin
    axes.set(xlim=center[0] + reach * np.array([-1, 1]), ylim=center[1] + reach * np.array([-1, 1]), aspect="equal")
    axes.grid(visible=True, alpha=0.2, linewidth=0.5)
    num_outside = int((~(np.abs(samples - center) <= reach).all(1)).sum())
    return [f"{num_outside} of {len(samples)} outside"] if num_outside else []


def write_figure(path: epath.PathLike, figure: Figure) -> None:
    """Writes a figure to a path or a URL, in the format of its suffix or else as PNG; missing folders are made."""
    buffer, suffix, canvas = io.BytesIO(), epath.Path(path).suffix.lower(), FigureCanvasAgg(figure)
    if suffix in SUFFIXES[1:]:
        canvas.print_figure(buffer, format=suffix[1:])
    else:
        canvas.print_png(buffer)
    _write(path, buffer.getvalue())


def _write(path: epath.PathLike, content: bytes) -> None:
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as file:
        file.write(content)
