"""Tables and the picture of `swing.py`, from its records."""

import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

LOW = 0.7  # a share near a mode below it is a swing
_QUIET = 10  # steps above it between two swings
_SURPRISE = 2.0  # gradients above so many times Adam's root of the second moment


def _onsets(near, quiet_steps):
    """Positions at which the share falls below `LOW` after so many records above it."""
    low = near < LOW
    return [at for at in np.flatnonzero(low) if at >= quiet_steps and not low[at - quiet_steps : at].any()]


def summarize(near: np.ndarray, every: int) -> dict[str, float]:
    """Mean, deviation and least of the shares near a mode, the part of them below `LOW`, and the number of swings."""
    onsets = _onsets(near, -(-_QUIET // every))
    numbers = {"mean": near.mean(), "std": near.std(), "least": near.min(), "low": (near < LOW).mean()}
    return {name: float(value) for name, value in numbers.items()} | {"swings": len(onsets)}


def around_swings(runs: list[dict[str, np.ndarray]], lags) -> dict[str, list[float]]:
    """Medians of each number so many steps from the onsets of swings, relative to its median over all steps."""
    table = {}
    for name in runs[0]:
        typical = np.median(np.concatenate([records[name] for records in runs]))
        table[name] = []
        for lag in lags:
            places = [(records, at + lag) for records in runs for at in _onsets(records["near"], _QUIET)]
            values = [records[name][at] for records, at in places if 0 <= at < len(records[name])]
            table[name].append(float(np.median(values) / typical) if values else float("nan"))
    return table


def correlations(records: dict[str, np.ndarray], lags=(0, 1, 5)) -> dict[str, list[float]]:
    """Rank correlations of each number with the share near a mode so many steps later."""
    near, found = records["near"], {}
    for name, values in records.items():
        pairs = [(values[: len(values) - lag], near[lag:]) for lag in lags]
        constant = any(np.ptp(pair[0]) == 0 for pair in pairs)
        found[name] = [0.0 if constant else float(stats.spearmanr(*pair).statistic) for pair in pairs]
    return found


def setting_table(rows: list[dict]) -> list[str]:
    """Markdown: the mean of each setting's rows, and the least of their least."""
    lines = [
        "| setting | runs | mean share | deviation | part of steps below 0.7 | least | way of a mode per step | offset "
        "| average's share | its least |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == name]
        mean = {key: np.mean([float(row[key]) for row in own]) for key in own[0] if key != "setting"}
        least = {key: min(float(row[key]) for row in own) for key in ("least", "average_least")}
        shares = f"{mean['mean']:.3f} | {mean['std']:.3f} | {mean['low']:.3f} | {least['least']:.3f}"
        lengths = f"{mean['way']:.2f} | {mean['offset']:.2f}"
        averages = f"{mean['average_mean']:.3f} | {least['average_least']:.3f}"
        lines.append(f"| {name} | {len(own)} | {shares} | {lengths} | {averages} |")
    return lines


def record_table(runs: list[dict[str, np.ndarray]]) -> list[str]:
    """Markdown: what each recorded number is around the onsets of swings, and how it goes with the share."""
    lags = (-20, -5, -2, -1, 0, 1, 5)
    lines = [
        f"| number | median | {' | '.join(f'{lag:+d}' for lag in lags)} | correlation, same step | 1 later | 5 later |",
        "|---" * (len(lags) + 5) + "|",
    ]
    around = around_swings(runs, lags)
    for name in runs[0]:
        median = np.median(np.concatenate([records[name] for records in runs]))
        found = np.mean([correlations(records)[name] for records in runs], axis=0)
        ratios = " | ".join(f"{ratio:.2f}" for ratio in around[name])
        lines.append(f"| {name} | {median:.3g} | {ratios} | {' | '.join(f'{each:.2f}' for each in found)} |")
    return lines


def surprise_lines(runs: list[dict[str, np.ndarray]], num_steps: int = 3) -> list[str]:
    """A sentence: how many swings follow a gradient that is large beside Adam's second moment, and how many moments do.

    Args:
        runs: Records of each step.
        num_steps: The gradients of so many steps count, the swing's first step included.
    """
    before, always, swings = [], [], 0
    for records in runs:
        windows = np.lib.stride_tricks.sliding_window_view(records["generator_surprise"], num_steps)
        is_large = np.concatenate([np.zeros(num_steps - 1, bool), windows.max(1) > _SURPRISE])
        onsets = _onsets(records["near"], _QUIET)
        before.extend(is_large[onsets])
        always.extend(is_large)
        swings += len(onsets)
    return [
        f"Of {swings} swings {np.mean(before):.0%} have a gradient above {_SURPRISE:g} times Adam's root in their "
        f"first step or the {num_steps - 1} before; of all steps {np.mean(always):.0%} do."
    ]


def draw(records: dict[str, np.ndarray], file: pathlib.Path, num_steps: int = 400) -> None:
    """Draws the share, the modes' offset, and the gradient of the last steps of a run."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True)
    last = {name: values[-num_steps:] for name, values in records.items()}
    curves = (("near", "last parameters"), ("average_near", "average")), (("offset", "offset of the modes"),)
    labels = "share near a mode", "standard deviations"
    for axis, lines, label in zip(axes, curves, labels, strict=False):
        for name, title in lines:
            axis.plot(last["step"], last[name], label=title, linewidth=0.8)
        axis.set_ylabel(label)
        axis.legend(loc="lower right" if "near" in lines[0] else "upper right", fontsize=8)
    axes[1].axhline(3, color="gray", linewidth=0.5)
    axes[2].plot(last["step"], last["generator_surprise"], linewidth=0.8)
    axes[2].set(ylabel="gradient / Adam's root", xlabel="step")
    figure.savefig(file, dpi=110)
