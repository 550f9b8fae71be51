"""The picture of f-divergences: their f, the weights of their gradients, their tails, and what they fit."""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from etils import epath
from matplotlib.figure import Figure

from buresgan_jax.divergences import Divergence, GaussianFit
from buresgan_jax.evaluation import pictures

# From covering to seeking modes: color and dashes. The saturating GAN is black.
_STYLES = {
    "pearson": ("#2b2d8e", "-"),
    "reversed_softened_reverse_kl": ("#3f78d8", (0, (5, 1.5))),
    "kl": ("#18a0d8", "-"),
    "reversed_softened_kl": ("#00a08a", (0, (1.2, 1.2))),
    "jeffreys": ("#2e7d32", (0, (6, 1.5, 1.2, 1.5))),
    "squared_hellinger": ("#8a9a00", (0, (3, 1.2))),
    "jensen_shannon": ("#111111", "-"),
    "softened_kl": ("#c79400", (0, (1.2, 1.2))),
    "reverse_kl": ("#f07c12", "-"),
    "softened_reverse_kl": ("#d01c1f", (0, (5, 1.5))),
    "neyman": ("#9b2f8f", "-"),
}
_MARGIN = 0.35  # around the plane of tail weights


def tendency(divergence: Divergence) -> str:
    """Returns `covers` if missed data have the larger tail weight, `seeks` if bad samples have it, else `balanced`."""
    left, right = divergence.tails
    return "balanced" if left == right else "covers" if right > left else "seeks"


def from_covering_to_seeking(divergences: Sequence[Divergence]) -> list[Divergence]:
    """Sorts divergences by the difference of their tail weights, `right - left`, from large to small."""
    return sorted(divergences, key=lambda each: (each.tails.left - each.tails.right, -sum(each.tails)))


def divergence_panels(
    path: epath.PathLike,
    divergences: Sequence[Divergence],
    fits: Mapping[str, Sequence[GaussianFit]],
    log_density: Callable[[jax.Array], jax.Array],
    *,
    lower: float,
    upper: float,
) -> None:
    """Draws f, weights of gradients, tail weights and fitted Gaussians of divergences, and writes the picture.

    The names beside the fitted Gaussians, from covering to seeking, have the lines of the curves.

    Args:
        path: A local path or a URL that ends in .png, .pdf or .svg; missing folders are made.
        divergences: The divergences, with names of their own.
        fits: The Gaussians fitted under each, by name, the best one first.
        log_density: Elementwise log density that they are fitted to, in JAX.
        lower: Left end of its panel.
        upper: Right end of its panel.
    """
    divergences = from_covering_to_seeking(divergences)
    figure = Figure(figsize=(13.5, 8.4), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic([["f", "weight", "fits"], ["tails", "tails", "fits"]], width_ratios=(1, 1, 1.15))
    styles = {each.name: _STYLES.get(each.name, (f"C{number}", "-")) for number, each in enumerate(divergences)}
    lines = {name: {"color": color, "linestyle": dashes} for name, (color, dashes) in styles.items()}
    with jax.enable_x64(True):
        _draw_functions(axes["f"], axes["weight"], divergences, lines)
        _draw_fits(axes["fits"], divergences, fits, log_density, lines, np.linspace(lower, upper, 401))
    _draw_tails(axes["tails"], divergences, styles)
    for each in axes.values():
        each.spines[["top", "right"]].set_visible(False)
        each.title.set_fontsize(11)
    pictures.write_figure(path, figure)


def _draw_functions(f_axes, weight_axes, divergences, lines):
    logits = np.linspace(-7, 7, 561)
    for each in divergences:
        f_axes.plot(np.exp(logits), each.of_logits(logits), linewidth=1.7, **lines[each.name])
        weight_axes.plot(logits, each.weight(logits), linewidth=1.7, **lines[each.name])
    f_axes.set(xscale="log", xlim=(0.03, 8), ylim=(0, 2.5), title="f(u), the price of a density ratio")
    weight_axes.set(yscale="log", xlim=(-6, 6), ylim=(3e-3, 3e2), title="w(d), the weight of a sample's gradient")
    for axes, variable in ((f_axes, "u = p / q"), (weight_axes, "d = log u")):
        axes.grid(visible=True, alpha=0.2, linewidth=0.5)
        axes.set_xlabel(f"← bad samples      {variable}      missed data →")


def _draw_tails(axes, divergences, styles):
    left, right = np.array([each.tails for each in divergences]).T
    low, high = min(0, left.min(), right.min()) - _MARGIN, max(3, left.max(), right.max()) + _MARGIN
    axes.axvspan(2, high, color="#d01c1f", alpha=0.07, linewidth=0)
    axes.axhspan(2, high, color="#3f78d8", alpha=0.08, linewidth=0)
    axes.plot([low, high], [low, high], color=pictures.GRAY, linewidth=0.8)
    axes.plot([low, high], [3 - low, 3 - high], color=pictures.GRAY, linewidth=0.8, linestyle=":")
    for each in divergences:
        axes.plot(*each.tails, "o", color=styles[each.name][0], markersize=8)
        axes.annotate(each.name, each.tails, (8, 4), textcoords="offset points", fontsize=9.5)
    note = {"fontsize": 9, "style": "italic", "color": "#444444"}
    axes.text(1.97, high - 0.05, "missed data cost without limit", ha="right", va="top", **note)
    axes.text(high - 0.03, low + 0.05, "bad samples cost without limit", ha="right", **note)
    axes.text(high - 0.03, 2.04, "both cost without limit", ha="right", **note)
    axes.text(low + 0.55, low + 0.05, "both have a largest price", **note)
    axes.text(2.42, 0.62, "f''(u) = u^-c", fontsize=8.5, color="#777777")
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="left tail weight L: bad samples")
    axes.set_ylabel("right tail weight R: missed data")
    axes.set_title("tail weights: divergences above the line tend to cover, those below it to seek modes")


def _draw_fits(axes, divergences, fits, log_density, lines, x):
    density = np.exp(np.asarray(log_density(x)))
    height = 1.5 * max(density.max(), *(0.4 / fits[each.name][0].std for each in divergences))
    for row, each in enumerate(divergences):
        base, best = -row * height, fits[each.name][0]
        fitted = np.exp(-(((x - best.mean) / best.std) ** 2) / 2) / (best.std * np.sqrt(2 * np.pi))
        axes.fill_between(x, base, base + density, color=pictures.GRAY, alpha=0.45, linewidth=0)
        axes.plot(x, base + fitted, linewidth=1.8, **lines[each.name])
        text = {"fontsize": 9.5, "color": lines[each.name]["color"]}
        axes.text(x[0], base + 0.8 * height, f" {each.name}", **text)
        numbers = f"mean {best.mean:.2f}, std {best.std:.2f}, D {best.value:.3f}"
        axes.text(x[-1], base + 0.8 * height, numbers, fontsize=8.5, ha="right")
    axes.set(yticks=[], xlim=(x[0], x[-1]), xlabel="x", ylim=(base - 0.1 * height, height))
    axes.set_title("the nearest Gaussian to the gray density")
