"""Tables: runs as CSV, settings and the numbers of an evaluation as Markdown."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from buresgan_jax.evaluation.evaluators import AVERAGED
from buresgan_jax.evaluation.point_metrics import P_VALUE

Row = Mapping[str, Any]
STATUS = "status"  # a column: `done`, or why there are no numbers
PASSED = "two_sample_passed"  # the column in place of a p-value, whose mean says nothing
LEVEL = 0.01  # of the two-sample test


def to_csv(rows: Sequence[Row]) -> str:
    """Writes all rows as CSV; columns are in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def from_csv(text: str) -> list[dict[str, Any]]:
    """Reads the rows of `to_csv`: numbers as numbers, without the columns that a row leaves empty."""
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
    """Makes a Markdown table with a line per setting: number of runs, mean and standard deviation (divisor n).

    In place of the p-values `two_sample_p` there is a column `two_sample_passed`, such as `9/10`: how many of the runs
    with this number the two-sample test does not reject at 1 %; `ema_two_sample_passed` likewise.

    Args:
        rows: One row per run.
        by: The columns that name a setting.
        columns: The numbers to show; a run that lacks one does not count for it.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in by), []).append(row)
    lines = []
    for setting, members in groups.items():
        cells = [_cell(name, [row[name] for row in members if row.get(name) is not None]) for name in columns]
        lines.append([*map(str, setting), _count(members), *cells])
    return render([*by, "runs", *map(shown_name, columns)], lines)


def shown_name(column: str) -> str:
    """Returns the name of a number's column in a Markdown table."""
    return column.replace(P_VALUE, PASSED) if _is_p_value(column) else column


def _is_p_value(column):
    return column in (P_VALUE, AVERAGED + P_VALUE)


def render(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Makes a Markdown table of text."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])


def _count(rows):
    """Counts runs, such as `10`, or `10 (1 diverged, 2 stopped)`."""
    others = [row[STATUS] for row in rows if row[STATUS] != "done"]
    counts = ", ".join(f"{others.count(status)} {status}" for status in dict.fromkeys(others))
    return f"{len(rows)} ({counts})" if counts else str(len(rows))


def _cell(column, values):
    if _is_p_value(column):
        return f"{sum(value > LEVEL for value in values)}/{len(values)}" if values else "-"
    return _mean_and_deviation(values)


def _mean_and_deviation(values: Iterable[float]) -> str:
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return "-"
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return f"{mean:.4g} ({deviation:.2g})" if len(values) > 1 else f"{mean:.4g}"


def of_entries(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Makes a Markdown table of an evaluation's numbers: value, uncertainty, and how each was made.

    Args:
        entries: Results of evaluators by name.
    """
    lines = []
    for name, entry in entries.items():
        numbers = [
            f"{entry[key]:.6g}" if entry.get(key) is not None else "-" for key in ("value", "standard_error", "std")
        ]
        counts = [str(entry[key]) if entry.get(key) is not None else "-" for key in ("n_real", "n_fake")]
        weights = f", weights {entry['weights_sha256'][:8]}" if entry.get("weights_sha256") else ""
        made = entry.get("made_from", "pixels as they are")
        if "extractor" in entry:
            made = f"{entry['extractor']} ({entry['resizer']}{weights})"
        floor = f", of perfect samples {entry['floor']:.4g}" if "floor" in entry else ""
        undefined = f"; undefined: {entry['undefined']}" if "undefined" in entry else ""
        lines.append([name, *numbers, *counts, made + floor + undefined])
    return render(["metric", "value", "standard error", "std", "n real", "n fake", "made from"], lines)
