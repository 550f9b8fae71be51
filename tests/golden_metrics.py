"""Inputs and recorded results of the metrics, for `test_metrics_*.py` and `benchmarks/metrics.py`.

The results in `golden/metrics.json` were computed by other packages on exactly these inputs; the file names package,
version and seed. `python benchmarks/metrics.py --record` writes it anew where these packages are installed.
"""

import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).parent / "golden" / "metrics.json"
SEED = 0


def load() -> dict[str, dict]:
    """By metric and case: `value`, a number or several by name, and `origin`."""
    return json.loads(FILE.read_text())


def features(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Real and fake features; the fakes are shifted and narrower, `n < dim` has singular covariances."""
    num_real, num_fake, dim = {"plain": (120, 100, 8), "n < dim": (20, 24, 40), "near-singular": (120, 100, 24)}[case]
    random = np.random.default_rng(SEED)
    scales = 10.0 ** np.linspace(0, -8, dim) if case == "near-singular" else np.ones(dim)
    real = random.normal(size=(num_real, dim)) * scales
    fake = (0.3 + 0.8 * random.normal(size=(num_fake, dim))) * scales
    basis = np.linalg.qr(random.normal(size=(dim, dim)))[0]
    return real @ basis, fake @ basis


FEATURE_CASES = ("plain", "n < dim", "near-singular")


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
