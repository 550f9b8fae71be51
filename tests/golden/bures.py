"""Exact Bures distances and gradients, 50 digits by mpmath, for `test_golden.py` and `benchmarks/bures.py`.

    python tests/golden/bures.py [--dims 2 16 64]

writes `tests/golden/bures.npz`: for every case `NAME_D` the two float32 matrices (`x`, `y`, lower triangles), the exact
value for them as text of 30 digits, and, where the gradient is unique and the input regular, the exact gradient in x
(lower triangle, rounded to float64). Takes some minutes. Exit status 0.
"""

import argparse
import functools
import pathlib
import zlib

import mpmath
import numpy as np

FILE = pathlib.Path(__file__).parent / "bures.npz"
SPECTRA = {
    "flat": lambda d: np.ones(d),
    "1/k": lambda d: 1 / np.arange(1, d + 1),
    "1/k^2": lambda d: 1 / np.arange(1, d + 1) ** 2,
    "exponential": lambda d: 10.0 ** np.linspace(0, -12, d),
    "half_rank": lambda d: (np.arange(d) < (d + 1) // 2).astype(float),
    "equal": lambda d: 1 / np.arange(1, d + 1),
    "tied": lambda d: np.where(np.arange(d) < d // 2, 1.0, 0.1),
    "collapsed": lambda d: 1 / np.arange(1, d + 1),
    "scale_1e-8": lambda d: 1e-8 / np.arange(1, d + 1),
    "scale_1e8": lambda d: 1e8 / np.arange(1, d + 1),
}
IRREGULAR = ("exponential", "half_rank", "collapsed")


def make_case(name: str, dim: int, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Two covariance matrices with the spectrum `name`, in random bases."""
    rng = np.random.default_rng(zlib.crc32(f"{name}_{dim}".encode()))
    matrices = []
    for which in range(2):
        eigenvalues = SPECTRA[name](dim)
        if which and name != "tied":
            eigenvalues = eigenvalues * rng.uniform(1, 2, dim)
        basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
        matrix = (basis * eigenvalues @ basis.T).astype(dtype)
        matrices.append((matrix + matrix.T) / dtype(2))
    if name == "equal":
        matrices[1] = matrices[0]
    if name == "collapsed":
        matrices[0] = np.zeros_like(matrices[0])
    return tuple(matrices)


def _function_of(matrix, function):
    """f(A) of a symmetric matrix, by its eigenvalues; those that rounding made negative count as zero."""
    eigenvalues, basis = mpmath.eigsy(matrix)
    values = mpmath.diag([function(max(value, mpmath.mpf(0))) for value in eigenvalues])
    return basis * values * basis.T


def exact(x: np.ndarray, y: np.ndarray, *, with_gradient: bool) -> tuple[mpmath.mpf, np.ndarray | None]:
    """Squared Bures distance and its gradient in x, in the working precision of mpmath."""
    a, b = (mpmath.matrix(matrix.astype(float).tolist()) for matrix in (x, y))
    root_a, b = _function_of(a, mpmath.sqrt), _function_of(b, lambda value: value)
    middle = root_a * b * root_a
    middle = (middle + middle.T) / 2
    root = _function_of(middle, mpmath.sqrt)
    dims = range(len(x))
    traces = sum((root_a * root_a)[i, i] + b[i, i] for i in dims)
    value = traces - 2 * sum(root[i, i] for i in dims)
    if not with_gradient:
        return value, None
    inverse = _function_of(a, lambda value: 1 / mpmath.sqrt(value))
    transport = inverse * root * inverse
    gradient = [[float((i == j) - transport[i, j]) for j in dims] for i in dims]
    return value, np.array(gradient)


def condition_number(*matrices: np.ndarray) -> float:
    """The largest of several covariance matrices."""
    spectra = [np.linalg.eigvalsh(matrix.astype(float)) for matrix in matrices]
    return max(spectrum[-1] / max(spectrum[0], 1e-300) for spectrum in spectra)


@functools.cache
def load() -> dict[str, dict]:
    """All cases: `x`, `y` (symmetric, float32), `value` (float), `gradient` (float64, or None)."""
    cases = {}
    with np.load(FILE) as arrays:
        for key in arrays:
            name, field = key.rsplit(":", 1)
            cases.setdefault(name, {"gradient": None})[field] = arrays[key]
    for case in cases.values():
        case["value"] = float(str(case["value"]))
        for field in ("x", "y", "gradient"):
            if case[field] is not None:
                case[field] = _from_triangle(case[field])
    return cases


def _from_triangle(entries):
    dim = int((2 * len(entries)) ** 0.5)
    matrix = np.zeros((dim, dim), entries.dtype)
    matrix[np.tril_indices(dim)] = entries
    return matrix + np.tril(matrix, -1).T


def main():
    """Computes and writes all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 16, 64])
    dims = parser.parse_args().dims
    mpmath.mp.dps = 50
    arrays = {}
    for dim in dims:
        for name in SPECTRA:
            x, y = make_case(name, dim)
            value, gradient = exact(x, y, with_gradient=name not in IRREGULAR)
            triangle = np.tril_indices(dim)
            key = f"{name}_{dim}"
            arrays |= {f"{key}:x": x[triangle], f"{key}:y": y[triangle], f"{key}:value": mpmath.nstr(value, 30)}
            if gradient is not None:
                arrays[f"{key}:gradient"] = gradient[triangle]
            print(key, mpmath.nstr(value, 12), flush=True)
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {FILE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
