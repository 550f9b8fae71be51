"""Tables of many runs: one line per run as CSV, one per setting as Markdown."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
STATUS = "status"  # the column that says `done`, or why there are no numbers


def to_csv(rows: Sequence[Row]) -> str:
    """All rows; columns in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def from_csv(text: str) -> list[dict[str, Any]]:
    """The rows of `to_csv`: numbers as numbers, without the columns that a row leaves empty."""
    rows = csv.DictReader(io.StringIO(text))
    return [{name: _value(word) for name, word in row.items() if name and word} for row in rows]


def _value(word):
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def to_markdown(rows: Sequence[Row], *, by: Sequence[str], columns: Sequence[str]) -> str:
    """One line per setting: how many runs, and mean and standard deviation (divisor n) of those that are done.

    Args:
        rows: one per run.
        by: the columns that name a setting.
        columns: the numbers to show; a run that lacks one does not count for it.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in by), []).append(row)
    lines = []
    for setting, members in groups.items():
        cells = [_mean_and_deviation(row[name] for row in members if row.get(name) is not None) for name in columns]
        lines.append([*map(str, setting), _count(members), *cells])
    return render([*by, "runs", *columns], lines)


def render(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of text."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])


def _count(rows):
    """Such as `10`, or `10 (1 diverged, 2 stopped)`."""
    others = [row[STATUS] for row in rows if row[STATUS] != "done"]
    counts = ", ".join(f"{others.count(status)} {status}" for status in dict.fromkeys(others))
    return f"{len(rows)} ({counts})" if counts else str(len(rows))


def _mean_and_deviation(values: Iterable[float]) -> str:
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return "-"
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return f"{mean:.4g} ({deviation:.2g})" if len(values) > 1 else f"{mean:.4g}"
