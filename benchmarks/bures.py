"""Compares the Bures distance with its peers: errors against exact values, NaN, and time, in one run.

    pip install -e ".[peers]"        # a missing peer is a blank column
    for dtype in float32 float64; do
      taskset -c 0 python benchmarks/bures.py --dtypes $dtype --out=docs/results/bures_cpu_$dtype.md
    done                             # also --dims 2 16 64 128 256 512 --repeats 5

From covariances: float32 and float64, every spectrum of `tests/golden/bures.py`. From features: batches n x dim. Exact
values have 50 digits (tests/golden) up to dim 64. For larger dims, float32 rows are compared with the float64 residual
form on the same float32 input, and float64 rows with pairs of known distance: B = T A T in extended precision has the
distance tr A + tr B - 2 tr(T A) and the gradient I - T. Errors of the value are relative to the traces. Errors of the
gradient are relative to its norm, if it is unique and the condition numbers are at most 1e4. Times are medians of up to
--repeats compiled calls in milliseconds, with one BLAS thread: the value, and the value with the gradient in the first
argument. Exit status 0.
"""

import argparse
import collections
import contextlib
import datetime
import functools
import pathlib
import platform
import sys
import time
import warnings
from importlib import metadata
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from buresgan_jax import sqrtm, squared_bures_distance, squared_bures_distance_from_features
from buresgan_jax.runtime import blas

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from golden import bures as golden_bures  # noqa: E402

FEATURES = [(64, 4096), (256, 128), (256, 4096)]
_ENOUGH_SECONDS = 2.0  # of repeats, for peers that take seconds a call
_TOO_SLOW_MS = 400.0  # a call that takes longer than this is not tried at the next dim
PEERS = ("ott-jax", "POT", "torch", "scipy")


class Case(NamedTuple):
    """One pair, its exact squared distance and (or None) gradient in x."""

    x: np.ndarray
    y: np.ndarray
    value: float
    gradient: np.ndarray | None
    traces: float


class Entry(NamedTuple):
    """Result of one implementation on one case; None if it does not support the case."""

    error: float
    gradient_error: float | None
    value_ms: float
    gradient_ms: float | None

    @property
    def is_finite(self):
        """Whether value and gradient are finite."""
        return np.isfinite(self.error) and (self.gradient_error is None or np.isfinite(self.gradient_error))


# Cases


def covariance_case(name: str, dim: int, dtype) -> Case:
    """The pair `name` in a precision, with the exact answer."""
    golden = golden_bures.load().get(f"{name}_{dim}")
    if golden is not None:
        x, y = golden["x"].astype(dtype), golden["y"].astype(dtype)
        return Case(x, y, golden["value"], _where_regular(golden["gradient"], x, y), _traces(x, y))
    if dtype == np.float64:
        return _known_case(name, dim)
    x, y = golden_bures.make_case(name, dim)
    value, gradient = jax.jit(jax.value_and_grad(squared_bures_distance))(x.astype(np.float64), y.astype(np.float64))
    return Case(x, y, float(value), _where_regular(np.asarray(gradient), x, y), _traces(x, y))


def _known_case(name, dim):
    x = golden_bures.make_case(name, dim, np.float64)[0].astype(np.longdouble)
    rng = np.random.default_rng(dim)
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0].astype(np.longdouble)
    transport = (basis * rng.uniform(1, 1.4, dim)) @ basis.T if name != "equal" else np.eye(dim)
    transport = (transport + transport.T) / 2
    y = transport @ x @ transport
    value = np.trace(x) + np.trace(y) - 2 * np.sum(transport * x)
    if name == "collapsed":
        y = golden_bures.make_case(name, dim, np.float64)[1]
        value = np.trace(y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    return Case(x, y, float(value), _where_regular(np.eye(dim) - transport.astype(float), x, y), _traces(x, y))


def feature_case(n: int, dim: int, dtype) -> Case:
    """Two batches with column scales 1/k; exact by the float64 residual form on the same input."""
    rng = np.random.default_rng(n + dim)
    x, y = ((rng.normal(size=(n, dim)) / np.arange(1, dim + 1)).astype(dtype) for _ in range(2))
    exact = jax.jit(jax.value_and_grad(functools.partial(squared_bures_distance_from_features, scale="sum")))
    value, gradient = exact(x.astype(np.float64), y.astype(np.float64))
    centered = [batch - batch.mean(0) for batch in (x.astype(float), y.astype(float))]
    return Case(x, y, float(value), np.asarray(gradient), sum(float(np.sum(batch**2)) for batch in centered))


def _traces(x, y):
    return float(np.trace(x.astype(float)) + np.trace(y.astype(float)))


def _where_regular(gradient, x, y):
    regular = golden_bures.condition_number(x, y) <= 1e4
    return gradient if regular and gradient is not None and np.linalg.norm(gradient) > 1e-9 else None


# Implementations: `array in, (value function, value-and-gradient function or None)`


def _by_jax(function):
    return jnp.asarray, jax.jit(function), jax.jit(jax.value_and_grad(function))


def _by_torch(function):
    import torch

    def value(x, y):
        with torch.no_grad():
            return function(x, y)

    def value_and_gradient(x, y):
        x = x.detach().requires_grad_()
        result = function(x, y)
        return result.detach(), torch.autograd.grad(result, x)[0]

    return torch.from_numpy, value, value_and_gradient


def covariance_implementations():
    """By name; peers that are not installed are left out."""
    ours = {
        f"ours {method}": _by_jax(functools.partial(squared_bures_distance, method=method))
        for method in ("eigh", "svd", "newton_schulz")
    }
    makers = {
        "ott-jax": _ott,
        "POT numpy": _pot_numpy,
        "POT jax": _pot_jax,
        "POT torch": _pot_torch,
        "SciPy sqrtm": _scipy,
        "torch autograd": _torch_covariances,
    }
    return ours | _installed(makers)


def feature_implementations():
    """By name, for batches of features."""
    ours = {
        f"ours {method}": _by_jax(functools.partial(squared_bures_distance_from_features, scale="sum", method=method))
        for method in ("svd", "eigh", "newton_schulz")
    }
    return ours | _installed({"jnp norm nuc": lambda: _by_jax(_jnp_nuclear), "torch norm nuc": _torch_features})


def _installed(makers):
    found = {}
    for name, make in makers.items():
        with contextlib.suppress(ImportError):
            found[name] = make()
    return found


def _ott():
    from ott.geometry import costs

    def distance(x, y):
        cost = costs.Bures(dimension=x.shape[0])
        mean = jnp.zeros(x.shape[0], x.dtype)
        return cost(jnp.concatenate([mean, x.ravel()]), jnp.concatenate([mean, y.ravel()]))

    return _by_jax(distance)


def _pot(x, y):
    import ot

    return ot.gaussian.bures_distance(x, y).squeeze() ** 2


def _pot_numpy():
    import ot  # noqa: F401

    return np.asarray, _pot, None


def _pot_jax():
    import ot  # noqa: F401

    return _by_jax(_pot)


def _pot_torch():
    import ot  # noqa: F401

    return _by_torch(_pot)


def _scipy():
    def distance(x, y):
        root = scipy.linalg.sqrtm(x)
        return (np.trace(x) + np.trace(y) - 2 * np.trace(scipy.linalg.sqrtm(root @ y @ root))).real

    return np.asarray, distance, None


def _torch_covariances():
    import torch

    def distance(x, y):
        eigenvalues, basis = torch.linalg.eigh(x)
        root = (basis * eigenvalues.clamp(min=0).sqrt()) @ basis.T
        middle = torch.linalg.eigvalsh(root @ y @ root).clamp(min=0)
        return x.trace() + y.trace() - 2 * middle.sqrt().sum()

    return _by_torch(distance)


def _jnp_nuclear(x, y):
    x, y = x - x.mean(0, keepdims=True), y - y.mean(0, keepdims=True)
    return jnp.sum(x**2) + jnp.sum(y**2) - 2 * jnp.linalg.norm(x @ y.T, "nuc")


def _torch_features():
    import torch

    def distance(x, y):
        x, y = x - x.mean(0), y - y.mean(0)
        return (x**2).sum() + (y**2).sum() - 2 * torch.linalg.matrix_norm(x @ y.T, "nuc")

    return _by_torch(distance)


# Measuring


def measure(implementation, case: Case, repeats: int) -> Entry:
    """Errors and times of one implementation on one case."""
    # Without x64 in float32: some peers make float64 constants otherwise, and fail.
    with jax.enable_x64(case.x.dtype == np.float64):
        return _measure(implementation, case, repeats)


def _measure(implementation, case, repeats):
    place, value, value_and_gradient = implementation
    x, y = place(case.x), place(case.y)
    result, value_ms = _timed(value, repeats, x, y)
    error, gradient_error, gradient_ms = abs(float(result) - case.value) / case.traces, None, None
    if value_and_gradient is not None:
        (_, gradient), gradient_ms = _timed(value_and_gradient, repeats, x, y)
        gradient = np.asarray(gradient, dtype=float)
        gradient_error = float(np.linalg.norm(gradient) * 0)  # NaN where any entry is
        if case.gradient is not None:
            gradient_error = float(np.linalg.norm(gradient - case.gradient) / np.linalg.norm(case.gradient))
    return Entry(error, gradient_error, value_ms, gradient_ms)


def _timed(function, repeats, *arrays):
    result, times = jax.block_until_ready(function(*arrays)), []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = jax.block_until_ready(function(*arrays))
        times.append(time.perf_counter() - begin)
        if sum(times) > _ENOUGH_SECONDS:
            break
    return result, 1e3 * float(np.median(times))


def ratio_to_decompositions(case: Case, repeats: int) -> float:
    """Time of value and gradient, relative to two `eigh` and the full SVD of the product of the roots, in turn."""
    with jax.enable_x64(case.x.dtype == np.float64):
        x, y = jnp.asarray(case.x), jnp.asarray(case.y)
        cross = sqrtm(x) @ sqrtm(y)
        eigh, svd = jax.jit(jnp.linalg.eigh), jax.jit(functools.partial(jnp.linalg.svd, full_matrices=False))
        ours = jax.jit(jax.value_and_grad(squared_bures_distance))
        pairs = []
        for _ in range(repeats):
            parts = _timed(eigh, 1, x)[1] + _timed(eigh, 1, y)[1] + _timed(svd, 1, cross)[1]
            pairs.append(_timed(ours, 1, x, y)[1] / parts)
    return float(np.median(pairs))


# Report


def report(rows, names) -> list[str]:
    """Markdown: one line per case, one cell per implementation."""
    lines = [
        f"| case | {' | '.join(names)} |",
        f"|{'---|' * (1 + len(names))}",
    ]
    for label, entries in rows:
        cells = [_cell(entries.get(name)) for name in names]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def _cell(entry):
    if entry is None:
        return ""
    error = "NaN" if not np.isfinite(entry.error) else f"{entry.error:.0e}"
    gradient = "" if entry.gradient_error is None else f"{entry.gradient_error:.0e}" if entry.gradient_error else "ok"
    gradient = "NaN" if entry.gradient_error is not None and not np.isfinite(entry.gradient_error) else gradient
    times = f"{entry.value_ms:.3g}" + ("" if entry.gradient_ms is None else f" / {entry.gradient_ms:.3g}")
    return f"{error} / {gradient or '-'}; {times}"


def verdicts(rows, default: str, eps_of) -> list[str]:
    """Lists by peer the rows on which it is more accurate than our default, or as accurate and more than 10 % faster.

    Errors below 4 eps of the traces are rounding and count as equal. Errors within a factor of two count as equal too.
    """
    accurate, faster = collections.defaultdict(list), collections.defaultdict(list)
    for label, entries in rows:
        ours, floor = entries[default], 4 * eps_of(label)
        level = max(ours.error, floor)
        for name, entry in entries.items():
            if name.startswith("ours") or not entry.is_finite:
                continue
            if entry.error < level / 2 and ours.error > floor:
                accurate[name].append(f"{label} ({entry.error:.0e} against {ours.error:.0e})")
            times = {
                "value": (entry.value_ms, ours.value_ms),
                "value and gradient": (entry.gradient_ms, ours.gradient_ms),
            }
            for kind, (theirs, mine) in times.items():
                if entry.error <= 2 * level and theirs is not None and 1.1 * theirs < mine:
                    faster[name, kind].append((mine / theirs, label))
    lines = [f"- {name} is more accurate: {'; '.join(labels)}." for name, labels in accurate.items()]
    if not accurate:
        lines.append(f"- No peer is more accurate on any of {len(rows)} rows.")
    for (name, kind), found in sorted(faster.items()):
        ratios = [ratio for ratio, _ in found]
        labels = "; ".join(label for _, label in found)
        lines.append(
            f"- {name}, {kind}: as accurate and faster on {len(found)} of {len(rows)} rows, by a factor of "
            f"{np.median(ratios):.1f} (at most {max(ratios):.1f}): {labels}."
        )
    return lines


def _versions():
    names = ("jax", "jaxlib", "numpy", *PEERS)
    found = []
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def run(label, case, implementations, repeats, too_slow=frozenset()):
    """One row; `too_slow` peers are left out."""
    entries = {}
    for name, implementation in implementations.items():
        if name in too_slow:
            continue
        try:
            entries[name] = measure(implementation, case, repeats)
        except Exception as error:  # a peer may fail in any way; that is a result
            print(f"{label}: {name} failed: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    print(label, {name: _cell(entry) for name, entry in entries.items()}, flush=True)
    return label, entries


def main():
    """Measures everything and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 16, 64, 128, 256, 512])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_x64", True)
    implementations = covariance_implementations()
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
    blas.limit_threads(1)
    rows, ratios = [], []
    dtypes = {name: np.dtype(name).type for name in options.dtypes}
    for dtype_name, dtype in dtypes.items():
        too_slow = {name: set() for name in golden_bures.SPECTRA}
        for dim in options.dims:
            for name in golden_bures.SPECTRA:
                label, case = f"{name}, {dim}, {dtype_name}", covariance_case(name, dim, dtype)
                rows.append(run(label, case, implementations, options.repeats, too_slow[name]))
                slow = {peer for peer, entry in rows[-1][1].items() if (entry.gradient_ms or 0) > _TOO_SLOW_MS}
                too_slow[name] |= slow
            if dim >= 64:
                case = covariance_case("1/k", dim, dtype)
                ratios.append((dim, dtype_name, ratio_to_decompositions(case, 3 * options.repeats)))
    feature_rows = [
        run(f"{n} x {dim}, {name}", feature_case(n, dim, dtype), feature_implementations(), options.repeats)
        for name, dtype in dtypes.items()
        for n, dim in FEATURES
    ]
    eps = {name: float(np.finfo(dtype).eps) for name, dtype in dtypes.items()}
    eps_of = lambda label: eps[label.rsplit(", ", 1)[1]]  # noqa: E731
    device = jax.devices()[0]
    lines = [
        "# The Bures distance beside its peers",
        "",
        f"Made by `python benchmarks/bures.py` on {datetime.date.today()}: {device.platform} ({device.device_kind}), "
        f"one thread, Python {platform.python_version()}, {_versions()}.",
        "",
        "A cell reads: error of the value relative to the traces / relative error of the gradient (`ok`: finite, where "
        "it is not unique or the input irregular); milliseconds for the value / for value and gradient. Blank: not "
        f"there, failed, or slower than {_TOO_SLOW_MS:g} ms a call at the dim before.",
        "",
        "## Value and gradient against two `eigh` and one SVD (target: at most 1.2)",
        "",
        *(f"- {dim}, {name}: {ratio:.2f}" for dim, name, ratio in ratios),
        "",
        "## Where a peer is better than our default",
        "",
        "From covariances, beside `eigh`:",
        "",
        *verdicts(rows, "ours eigh", eps_of),
        "",
        "From features, beside `svd`:",
        "",
        *verdicts(feature_rows, "ours svd", eps_of),
        "",
        "## From covariances: spectrum, dim, dtype",
        "",
        *report(rows, list(implementations)),
        "",
        "## From features: n x dim, dtype",
        "",
        *report(feature_rows, list(feature_implementations())),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)


if __name__ == "__main__":
    main()
