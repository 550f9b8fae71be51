"""Compares the metrics with other packages: differences of the numbers and times, in one run.

    python benchmarks/metrics.py                            # packages: see metric_peers.py; a missing one is a "-"
    python benchmarks/metrics.py --dim=512 --num-samples=1000 --rounds=3 --output=docs/results/metrics.md
    python benchmarks/metrics.py --record                   # writes tests/golden/metrics.json, and nothing else

A difference is the largest relative difference of all numbers that a metric returns. That of PRD on features is the one
between two k-means from other starts; its loops in Python are a part of the peer's time. Inputs are the small ones of
tests/golden/metrics.py and random features of the requested size. Frechet distances are those of statistics with
spectra 1 / k; "half" has half as many samples as dimensions, and "equal" has the same statistics twice (difference
relative to the traces). Times are medians of calls in turn with one BLAS thread and one PyTorch thread; prdc starts
eight threads of its own. A ratio above 1 means that ours is faster. Exit status 0.
"""

import argparse
import datetime
import functools
import json
import pathlib
import sys
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import metric_peers
import numpy as np
import timing

from buresgan_jax import metrics
from buresgan_jax.runtime import blas

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from golden import metrics as golden_metrics  # noqa: E402


class Row(NamedTuple):
    """One input of one metric."""

    metric: str
    case: str
    arguments: tuple
    is_timed: bool = False
    scale: float | None = None  # of differences; by default the value itself


def _kernel(real, fake, num_subsets, subset_size):
    distance = metrics.kernel_distance(real, fake, num_subsets=num_subsets, subset_size=subset_size)
    return {"mean": distance.mean, "std": distance.std}


def _f_scores(curve):
    return [metrics.largest_f_score(curve, beta=beta) for beta in (8, 1 / 8)]


OURS: dict[str, Callable] = {
    "frechet": metrics.frechet_distance_from_statistics,
    "kernel": _kernel,
    "inception score": lambda logits, num_splits: metrics.inception_score(logits, num_splits=num_splits)._asdict(),
    "precision, recall": lambda real, fake, k: metrics.precision_recall(real, fake, num_neighbors=k)._asdict(),
    "prd of histograms": lambda real, fake: _f_scores(metrics.precision_recall_curve_of_histograms(real, fake)),
    "prd": lambda real, fake: _f_scores(metrics.precision_recall_curve(real, fake)),
    "vendi": lambda features, order: metrics.vendi_score(features, order=order),
    "ms-ssim": lambda first, second: metrics.ms_ssim(first, second).tolist(),
    "sliced Wasserstein": lambda real, fake, variant: metrics.sliced_wasserstein(real, fake, variant=variant).mean,
    "different bins": lambda real, fake: metrics.number_of_different_bins(real, fake)._asdict(),
}


def _numbers(value) -> np.ndarray:
    values = value.values() if isinstance(value, dict) else value
    return np.atleast_1d(np.asarray(list(values) if np.iterable(values) else values, np.float64))


def rows(dim: int, num_samples: int) -> list[Row]:
    """The small inputs, then those of the requested size."""
    small = [
        Row(metric, case, arguments)
        for metric, by_case in golden_metrics.cases().items()
        for case, arguments in by_case.items()
    ]
    features = _feature_rows(dim, num_samples) + _curve_rows(dim, num_samples)
    return small + _frechet_rows(dim) + features + _image_rows(num_samples)


def _frechet_rows(dim):
    random = np.random.default_rng(0)

    def statistics(num_samples, shift):
        scales = 1 / np.sqrt(np.arange(1, dim + 1))
        return metrics.gaussian_statistics([shift + random.normal(size=(num_samples, dim)) * scales])

    plain = statistics(2 * dim, 0), statistics(2 * dim, 0.1)
    half = statistics(dim // 2, 0), statistics(dim // 2, 0.1)
    traces = 2 * float(np.trace(plain[0].cov))
    return [
        Row("frechet", f"dim {dim}", plain, is_timed=True),
        Row("frechet", f"dim {dim}, half", half, is_timed=True),
        Row("frechet", f"dim {dim}, equal", plain[:1] * 2, scale=traces),
    ]


def _curve_rows(dim, num_samples):
    """Of 20 modes with clear gaps, the fakes have 15."""
    random = np.random.default_rng(0)
    means = random.normal(size=(20, dim))
    modes = random.integers((20, 15), size=(num_samples, 2)).T
    pair = [(means[each] + 0.1 * random.normal(size=(num_samples, dim))).astype(np.float32) for each in modes]
    counts = [np.bincount(each, minlength=20) for each in modes]
    return [
        Row("prd of histograms", "20 bins", tuple(counts), is_timed=True),
        Row("prd", f"{num_samples} x {dim} in 20 modes, float32", tuple(pair), is_timed=True),
    ]


def _feature_rows(dim, num_samples):
    random = np.random.default_rng(0)
    real = np.maximum(random.normal(size=(num_samples, dim)), 0)
    fake = np.maximum(0.1 + 0.9 * random.normal(size=(num_samples, dim)), 0)
    single = real.astype(np.float32), fake.astype(np.float32)
    size, subset_size = f"{num_samples} x {dim}", min(1000, num_samples // 2)
    logits = random.normal(scale=2, size=(5 * num_samples, 1008))
    return [
        Row("kernel", f"{size}, 10 subsets of {subset_size}, float64", (real, fake, 10, subset_size), is_timed=True),
        Row("kernel", f"{size}, 10 subsets of {subset_size}, float32", (*single, 10, subset_size), is_timed=True),
        Row("precision, recall", f"{size}, float32", (*single, 5), is_timed=True),
        Row("inception score", f"{5 * num_samples} x 1008", (logits, 10), is_timed=True),
        Row("vendi", size, (real, 1), is_timed=True),
        Row("different bins", f"{size}, float32", single, is_timed=True),
    ]


def _image_rows(num_samples):
    random = np.random.default_rng(0)
    real, fake = random.uniform(-1, 1, size=(2, num_samples, 32, 32, 3)).astype(np.float32)
    pairs = random.uniform(-1, 1, size=(2, 16, 256, 256, 3)).astype(np.float32)
    return [
        Row("ms-ssim", "16 pairs 256 x 256 x 3, noise", tuple(pairs), is_timed=True),
        *(
            Row("sliced Wasserstein", f"{variant}, {num_samples} x 32 x 32 x 3", (real, fake, variant), is_timed=True)
            for variant in ("bures_gan", "progan")
        ),
    ]


def _timed(call, arguments):
    """Numbers and seconds of a first call."""
    begin = time.perf_counter()
    value = call(*arguments)
    return _numbers(value), time.perf_counter() - begin


def _difference(value, others, scale):
    return f"{np.max(abs(value - others) / (scale or np.maximum(abs(others), 1e-300))):.0e}"


def compare(row: Row, peers: dict[str, Callable], rounds: int) -> list[str]:
    """Lines of the table: one for each peer, or one line if there is no peer."""
    calls = {"": OURS[row.metric], **peers}
    first = {name: _timed(call, row.arguments) for name, call in calls.items()}
    value = first[""][0]
    seconds = {}
    if row.is_timed:
        seconds = {name: seconds for name, (_, seconds) in first.items()}
        if rounds:
            repeated = {name: functools.partial(call, *row.arguments) for name, call in calls.items()}
            seconds = timing.medians_in_turn(repeated, rounds=rounds, budget=20)
    shown = ", ".join(f"{number:.7g}" for number in value[:4]) + (", ..." if len(value) > 4 else "")
    lines = []
    for name in peers or ["-"]:
        difference = _difference(value, first[name][0], row.scale) if name in first else "-"
        times = [f"{1e3 * seconds[each]:.0f}" if each in seconds else "-" for each in ("", name)]
        ratio = f"{seconds[name] / seconds['']:.1f}" if name in seconds else "-"
        lines.append(f"| {row.metric} | {row.case} | {shown} | {name} | {difference} | {' | '.join(times)} | {ratio} |")
    return lines


def record() -> None:
    """Writes the results of the peers on the small inputs."""
    peers = {metric: metric_peers.peers(metric) for metric in golden_metrics.cases()}
    values = {
        metric: {
            case: {name: peer(*arguments) for name, peer in peers[metric].items() if name != "scipy sqrtm"}
            for case, arguments in by_case.items()
        }
        for metric, by_case in golden_metrics.cases().items()
    }
    origin = {"command": "python benchmarks/metrics.py --record", "date": str(datetime.date.today())}
    origin |= {"packages": metric_peers.versions(), "seed": golden_metrics.SEED}
    golden_metrics.FILE.write_text(json.dumps({"origin": origin, "values": values}, indent=1) + "\n")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--num-samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="0: times are those of the first calls")
    parser.add_argument("--metrics", help="only these, separated by semicolons")
    parser.add_argument("--peers", help="only these, separated by semicolons")
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    blas.limit_threads(1)
    metric_peers.limit_threads(1)
    if options.record:
        return record()
    versions = ", ".join(f"{name} {version}" for name, version in metric_peers.versions().items())
    lines = ["# Metrics beside other packages", ""]
    lines += timing.header({"Packages": versions}, timing.speed())
    lines += ["", "| metric | input | ours | peer | difference | ours, ms | peer, ms | peer / ours |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    wanted = options.metrics.split(";") if options.metrics else OURS
    for row in rows(options.dim, options.num_samples):
        if row.metric in wanted:
            peers = metric_peers.peers(row.metric)
            if options.peers:
                peers = {name: peer for name, peer in peers.items() if name in options.peers.split(";")}
            new = compare(row, peers, options.rounds)
            print("\n".join(new), flush=True)
            lines += new
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
