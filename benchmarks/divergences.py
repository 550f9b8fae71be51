"""Do the tail weights of a divergence say which modes its generator keeps? Tables and a figure of a suite's runs.

    python -m buresgan_jax.suite --config=configs/suites/divergences.py --workdir=runs/divergences
    python benchmarks/divergences.py --results=runs/divergences/results.csv --figure=docs/results/divergences.png

Prints Markdown: for each data set and divergence the means over seeds, and the rank correlations of the tail weights
with what the runs did, over the divergences, each with a 95 % interval by the bootstrap over divergences.
"""

import argparse
import csv
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax.divergences import DIVERGENCES

COLUMNS = {
    "modes": "modes",
    "share near": "high_quality_share",
    "reverse KL": "reverse_kl",
    "spread inside": "mode_spread",
    "bound of KL": "bound_kl",
    "bound of reverse KL": "bound_reverse_kl",
}
# What a tail weight should predict: the weight, the number, and the sign of the correlation.
PREDICTIONS = (
    ("right", "modes", 1),
    ("right", "reverse KL", -1),
    ("right - left", "reverse KL", -1),
    ("left", "share near", 1),
)
_NUM_DRAWS = 2_000

Table = Mapping[str, Mapping[str, Mapping[str, float]]]


def read(file: pathlib.Path) -> Table:
    """Reads means over seeds of the runs that ended, and their number, by data set, divergence and column."""
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    if failed := [f"{row['data']} {row['method']} {row['seed']}" for row in rows if row["status"] != "done"]:
        print(f"Not in the means, as they failed: {', '.join(failed)}", file=sys.stderr)
    table = {}
    for row in rows:
        if row["status"] == "done":
            table.setdefault(row["data"], {}).setdefault(row["method"].rpartition(":")[2], []).append(row)
    return {
        data: {
            name: {title: np.mean([float(row[key]) for row in found[name]]) for title, key in COLUMNS.items()}
            | {"runs": len(found[name])}
            for name in DIVERGENCES
            if name in found
        }
        for data, found in table.items()
    }


def table_lines(table: Table) -> list[str]:
    """Formats the means of all runs as Markdown, divergences in the order of their right tail weight."""
    lines = [
        f"| data | divergence | L | R | runs | {' | '.join(COLUMNS)} |",
        "|" + "---|" * (5 + len(COLUMNS)),
    ]
    for data, found in table.items():
        for name in sorted(found, key=lambda name: (DIVERGENCES[name].tails.right, -DIVERGENCES[name].tails.left)):
            left, right = DIVERGENCES[name].tails
            values = " | ".join(f"{found[name][title]:.4g}" for title in COLUMNS)
            lines.append(f"| {data} | {name} | {left:g} | {right:g} | {found[name]['runs']} | {values} |")
    return lines


def correlation(tail: str, title: str, found: Mapping[str, Mapping[str, float]], *, seed: int = 0):
    """Computes Spearman's rank correlation of a tail weight and a number over divergences.

    Args:
        tail: `left`, `right`, or `right - left`.
        title: A key of `COLUMNS`.
        found: Means by divergence and column.
        seed: Seed of the bootstrap.

    Returns:
        The correlation, and the ends of its 95 % interval.
    """
    left, right = np.array([DIVERGENCES[name].tails for name in found]).T
    x = {"left": left, "right": right, "right - left": right - left}[tail]
    y = np.array([values[title] for values in found.values()])
    draws = np.random.default_rng(seed).integers(len(x), size=(_NUM_DRAWS, len(x)))
    varied = [index for index in draws if np.ptp(x[index]) and np.ptp(y[index])]
    resampled = [stats.spearmanr(x[index], y[index]).statistic for index in varied]
    if not resampled:
        return np.nan, np.nan, np.nan
    return stats.spearmanr(x, y).statistic, *np.quantile(resampled, [0.025, 0.975])


def correlation_lines(table: Table) -> list[str]:
    """Formats the rank correlations as Markdown."""
    titles = [f"{tail} weight and {title} (predicted {'+' if sign > 0 else '-'})" for tail, title, sign in PREDICTIONS]
    lines = [f"| data | {' | '.join(titles)} |", "|" + "---|" * (1 + len(titles))]
    for data, found in table.items():
        cells = ["{:.2f} ({:.2f} to {:.2f})".format(*correlation(*each[:2], found)) for each in PREDICTIONS]
        lines.append(f"| {data} | {' | '.join(cells)} |")
    return lines


def draw(table: Table, file: pathlib.Path, titles: Sequence[str] = ("reverse KL", "share near")) -> None:
    """Draws numbers over the right tail weight, one panel for each data set, colored by the left one."""
    figure = Figure(figsize=(3.2 * len(table), 3 * len(titles)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(titles), len(table), squeeze=False)
    for row, title in zip(panels, titles, strict=True):
        for panel, (data, found) in zip(row, table.items(), strict=True):
            tails = np.array([DIVERGENCES[name].tails for name in found])
            values = [each[title] for each in found.values()]
            dots = panel.scatter(tails[:, 1], values, c=tails[:, 0], cmap="viridis", vmin=0, vmax=3, zorder=2)
            panel.set(title=data, xlabel="right tail weight", ylabel=title if data == next(iter(table)) else "")
            panel.set_yscale("log" if title == "reverse KL" else "linear")
            panel.grid(alpha=0.3)
    figure.colorbar(dots, ax=panels, label="left tail weight")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, required=True, help="results.csv of the suite")
    parser.add_argument("--figure", type=pathlib.Path, help="PNG file")
    options = parser.parse_args()
    table = read(options.results)
    print("\n".join([*correlation_lines(table), "", *table_lines(table)]))
    if options.figure:
        draw(table, options.figure)


if __name__ == "__main__":
    main()
