"""The tables of the suite of divergences, on made-up runs that follow the tails."""

import csv
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import divergences as benchmark

from buresgan_jax.divergences import DIVERGENCES


@pytest.fixture
def results(tmp_path):
    rows = []
    for data in ("ring", "grid"):
        for name, divergence in DIVERGENCES.items():
            left, right = divergence.tails
            for seed in (0, 1):
                values = {key: left + seed for key in benchmark.COLUMNS.values()}
                values |= {"modes": right + seed, "reverse_kl": 1 / (1 + right)}
                rows.append({"data": data, "method": f"a.b:{name}", "seed": seed, "status": "done", **values})
    rows.append(dict.fromkeys(rows[0], "") | {"data": "ring", "method": "a.b:kl", "status": "failed"})
    file = tmp_path / "results.csv"
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_means_and_correlations_of_runs_that_follow_the_tails(results, tmp_path, monkeypatch, capsys):
    table = benchmark.read(results)
    assert table["ring"]["kl"]["modes"] == 2.5
    assert table["grid"]["neyman"]["runs"] == 2
    found = benchmark.correlation("right", "modes", table["ring"])
    np.testing.assert_allclose(found, 1)
    assert benchmark.correlation("right", "reverse KL", table["ring"])[0] == pytest.approx(-1)
    monkeypatch.setattr(sys, "argv", ["x", f"--results={results}", f"--figure={tmp_path / 'figure.png'}"])
    benchmark.main()
    text = capsys.readouterr().out
    (line,) = (line for line in text.splitlines() if line.startswith("| ring | 1.00"))
    exact, close = line.split(" | ")[1:3], line.split(" | ")[3]
    assert exact == ["1.00 (1.00 to 1.00)", "-1.00 (-1.00 to -1.00)"]
    assert -1 < float(close.split()[0]) < -0.7
    assert line.endswith("| 1.00 (1.00 to 1.00) |")
    assert "| ring | pearson | 0 | 3 | 2 | 3.5 | 0.5 | 0.25 | 0.5 | 0.5 | 0.5 |" in text
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_numbers_that_do_not_vary_have_no_correlation():
    found = {name: dict.fromkeys(benchmark.COLUMNS, 1.0) for name in DIVERGENCES}
    assert np.isnan(benchmark.correlation("right", "modes", found)[0])
