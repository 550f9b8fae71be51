"""Draws how dense samples lie inside the modes of a mixture: runs and perfect samples, side by side.

    python benchmarks/inside_modes.py --figure=inside.png "half the noise=runs/grid_4" "best=runs/best/grid/best/seed_5"

Each argument is a title and the workdir of a run on points. 100,000 samples of its last parameters show what 2,500 in a
scatter plot do not: whether a mode is one hump, or lumps and creases. Distances are in standard deviations of the mode.
"""

import argparse
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import buresgan_jax
from buresgan_jax import builders, data

_NUM_SAMPLES, _REACH, _BINS = 100_000, 3.5, 56


def around(samples: np.ndarray, mixture: data.Mixture, mode: int) -> np.ndarray:
    """The samples within the picture of a mode, from its mean, in its standard deviations, `[n, 2]`."""
    offsets = (samples - mixture.means[mode]) / mixture.std
    return offsets[np.abs(offsets).max(1) < _REACH]


def draw(sets: Mapping[str, np.ndarray], mixture: data.Mixture, modes: Sequence[int], file: pathlib.Path) -> None:
    """Draws a row of histograms for each set of samples, a column for each mode. All have the same colors."""
    figure = Figure(figsize=(2.2 * len(modes), 2.3 * len(sets)), layout="constrained")
    FigureCanvasAgg(figure)
    edges = np.linspace(-_REACH, _REACH, _BINS + 1)
    for row, (title, samples) in zip(figure.subplots(len(sets), len(modes), squeeze=False), sets.items(), strict=True):
        row[0].set_ylabel(title)
        for panel, mode in zip(row, modes, strict=True):
            counts, _, _ = np.histogram2d(*around(samples, mixture, mode).T, bins=edges)
            expected = len(samples) * mixture.weights[mode] * (edges[1] - edges[0]) ** 2 / (2 * np.pi)  # at the mean
            panel.imshow(counts.T, origin="lower", extent=2 * (-_REACH, _REACH), vmin=0, vmax=2 * expected)
            panel.set(xticks=[-3, 0, 3], yticks=[-3, 0, 3])
    figure.savefig(file, dpi=100)


def main() -> None:
    """Samples and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="TITLE=WORKDIR")
    parser.add_argument("--modes", default="0,6,12", help="numbers of modes, default: %(default)s")
    parser.add_argument("--figure", type=pathlib.Path, required=True, help="PNG file")
    options = parser.parse_args()
    sets, names = {}, set()
    for title, is_given, workdir in (each.partition("=") for each in options.runs):
        if not is_given:
            parser.error(f"{title!r} is not TITLE=WORKDIR")
        generator = buresgan_jax.load_generator(workdir, ema=False)
        sets[title] = generator.sample(_NUM_SAMPLES)
        names.add(generator.config.data.name)
    if len(names) > 1:
        parser.error(f"the runs are of different data: {', '.join(sorted(names))}")
    mixture = builders.source(generator.config).mixture
    sets["perfect samples"] = data.held_out_points(mixture, _NUM_SAMPLES, seed=0)
    draw(sets, mixture, [int(word) for word in options.modes.split(",")], options.figure)


if __name__ == "__main__":
    main()
