"""Inputs and recorded results of the metrics, for `test_metrics_*.py` and `benchmarks/metrics.py`.

`golden/metrics.json` holds what other packages computed on exactly these inputs, and under "origin" their versions.
`python benchmarks/metrics.py --record` rewrites it if they are installed.
"""

import json
import pathlib

import numpy as np

from buresgan_jax.metrics import GaussianStatistics

FILE = pathlib.Path(__file__).parent / "metrics.json"
SEED = 0
FEATURE_CASES = ("plain", "n < dim", "near-singular")


def load() -> dict[str, dict[str, dict]]:
    """By metric, case and package: a number, a list of them, or several by name."""
    return json.loads(FILE.read_text())["values"]


def features(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Real and fake features; the fakes are shifted and narrower, `n < dim` has singular covariances."""
    num_real, num_fake, dim = {"plain": (120, 100, 8), "n < dim": (20, 24, 40), "near-singular": (120, 100, 24)}[case]
    random = np.random.default_rng(SEED)
    scales = 10.0 ** np.linspace(0, -8, dim) if case == "near-singular" else np.ones(dim)
    real = random.normal(size=(num_real, dim)) * scales
    fake = (0.3 + 0.8 * random.normal(size=(num_fake, dim))) * scales
    basis = np.linalg.qr(random.normal(size=(dim, dim)))[0]
    return real @ basis, fake @ basis


def logits() -> np.ndarray:
    """Of 100 examples and 12 classes."""
    return np.random.default_rng(SEED).normal(scale=2, size=(100, 12))


def image_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Two smooth images beside disturbed copies, the second worse, `[2, 176, 176, 3]` within [-1, 1]."""
    random = np.random.default_rng(SEED)
    grid = np.linspace(0, 6, 176)
    phases = random.uniform(0, 6, size=(2, 1, 1, 3))
    first = np.sin(grid[None, :, None, None] + phases) * np.cos(2 * grid[None, None, :, None] - phases)
    noise = random.normal(size=first.shape) * np.array([0.05, 0.5])[:, None, None, None]
    return first.astype(np.float32), np.clip(first + noise, -1, 1).astype(np.float32)


def cases() -> dict[str, dict[str, tuple]]:
    """By metric and case, the arguments of the packages; of the Frechet distance the statistics by NumPy."""
    real, fake = features("plain")
    typed = {dtype: (real.astype(dtype), fake.astype(dtype)) for dtype in ("float32", "float64")}
    return {
        "frechet": {case: tuple(map(statistics, features(case))) for case in FEATURE_CASES},
        "kernel": {"plain": (real, fake, 20, 40)},
        "inception score": {"plain": (logits(), 3)},
        "precision, recall": {f"{dtype}, {k}": (*pair, k) for dtype, pair in typed.items() for k in (1, 5)},
        "vendi": {str(order): (real, order) for order in (1, 2, 0.5, np.inf)},
        "ms-ssim": {"plain": tuple(images.astype(np.float64) for images in image_pairs())},
    }


def statistics(features: np.ndarray) -> GaussianStatistics:
    """Mean and covariance by NumPy, all at once."""
    return GaussianStatistics(len(features), features.mean(0), np.cov(features, rowvar=False))
