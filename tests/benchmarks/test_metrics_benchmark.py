"""The table of `benchmarks/metrics.py`, with stand-ins for the packages that it compares with."""

import pathlib
import sys

import numpy as np
from golden import metrics as golden_metrics

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import metric_peers  # noqa: E402
import metrics as benchmark  # noqa: E402

FEATURES = golden_metrics.features("plain")[0]


def test_a_row_has_a_line_for_each_peer():
    peers = {"half": lambda features, order: 7.753738 / 2, "equal": benchmark.OURS["vendi"]}
    row = benchmark.Row("vendi", "plain", (FEATURES, 1), is_timed=True)
    half, equal = (line.split(" | ") for line in benchmark.compare(row, peers, rounds=0))
    assert half[:5] == ["| vendi", "plain", "7.753738", "half", "1e+00"]
    assert equal[3:5] == ["equal", "0e+00"]
    assert all(float(line[5]) >= 0 and len(line) == 8 for line in (half, equal))


def test_without_peers_our_own_numbers_remain():
    row = benchmark.Row("vendi", "plain", (FEATURES, 1))
    assert benchmark.compare(row, {}, rounds=3) == ["| vendi | plain | 7.753738 | - | - | - | - | - |"]
    assert metric_peers.peers("different bins") == {}


def test_prd_equals_loops_on_histograms():
    (row, _), peers = benchmark._curve_rows(dim=4, num_samples=60), metric_peers.peers("prd of histograms")
    (line,) = benchmark.compare(row, peers, rounds=0)
    assert line.startswith("| prd of histograms | 20 bins | ")
    assert float(line.split(" | ")[4]) < 1e-7


def test_the_difference_is_the_largest_of_all_numbers():
    row = benchmark.Row("precision, recall", "plain", (FEATURES, FEATURES + 100, 5), scale=2.0)
    line = benchmark.compare(row, {"one": lambda *_: [0, 0, 0, 1]}, rounds=0)[0]
    assert line.startswith("| precision, recall | plain | 0, 0, 0, 0 | one | 5e-01 |")


def test_recorded_results_cover_all_cases():
    recorded = golden_metrics.load()
    assert {metric: set(cases) for metric, cases in recorded.items()} == {
        metric: set(cases) for metric, cases in golden_metrics.cases().items()
    }
    assert all(np.size(value) for cases in recorded.values() for case in cases.values() for value in case.values())
