"""Other packages' metrics on features, logits and images, by name. Packages that are not installed are omitted.

    pip install --no-deps torch-fidelity==0.4.0 pytorch-fid==0.3.0 clean-fid==0.1.35 prdc==0.2 vendi-score==0.0.3 \
        pytorch-msssim==1.0.0 torchvision
    pip install scikit-learn requests

"plain loops" is no package: the formula of the paper, in the script.

Each peer is a function of the same arguments as the metric, and returns a number, several, or a dictionary of them.
"""

import contextlib
import importlib
import io
import types
from collections.abc import Callable
from importlib import metadata

import numpy as np

with contextlib.suppress(ImportError):
    import torch

_PACKAGES = ("torch-fidelity", "pytorch-fid", "clean-fid", "prdc", "vendi-score", "pytorch-msssim", "scikit-learn")
_PACKAGES += ("numpy", "scipy")
_SLOPES = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001))  # those of PRD's authors


def versions() -> dict[str, str]:
    """Versions of the installed packages."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def limit_threads(number: int) -> None:
    """Limits the threads of PyTorch, if it is installed."""
    with contextlib.suppress(NameError):
        torch.set_num_threads(number)


def declare_operators():
    """Lets torchvision import beside a PyTorch without its compiled operators, which no metric calls."""
    with contextlib.suppress(ImportError, RuntimeError):
        importlib.import_module("torchvision")  # with operators of its own: these must not be declared before
    with contextlib.suppress(NameError, RuntimeError):  # without PyTorch
        if not hasattr(torch.ops.torchvision, "nms"):
            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            declare_operators.library = library  # its end would undo the definitions


def peers(metric: str) -> dict[str, Callable]:
    """Peers of one metric that can be imported."""
    found = {}
    for name, load in _LOADERS.get(metric, {}).items():
        with contextlib.suppress(ImportError):
            declare_operators()
            found[name] = _quietly(load())
    return found


def _quietly(function):
    def call(*arguments):
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*arguments)

    return call


def _pytorch_fid():
    from pytorch_fid.fid_score import calculate_frechet_distance

    return lambda real, fake: float(calculate_frechet_distance(fake.mean, fake.cov, real.mean, real.cov))


def _clean_fid():
    from cleanfid.fid import frechet_distance

    return lambda real, fake: float(frechet_distance(fake.mean, fake.cov, real.mean, real.cov))


def _torch_fidelity_frechet():
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    def distance(real, fake):
        pair = [{"mu": statistics.mean, "sigma": statistics.cov} for statistics in (fake, real)]
        return fid_statistics_to_metric(*pair, False)["frechet_inception_distance"]

    return distance


def _sqrtm():
    from scipy.linalg import sqrtm

    def distance(real, fake):
        traces = np.trace(real.cov) + np.trace(fake.cov) - 2 * np.trace(sqrtm(real.cov @ fake.cov)).real
        return float(np.square(real.mean - fake.mean).sum() + traces)

    return distance


def _torch_fidelity_kernel():
    from torch_fidelity.metric_kid import kid_features_to_metric

    def distance(real, fake, num_subsets, subset_size):
        numbers = kid_features_to_metric(
            torch.from_numpy(fake),
            torch.from_numpy(real),
            kid_subsets=num_subsets,
            kid_subset_size=subset_size,
            rng_seed=2020,
            verbose=False,
        )
        return {name.split("_")[-1]: value for name, value in numbers.items()}

    return distance


def _torch_fidelity_inception_score():
    from torch_fidelity.metric_isc import isc_features_to_metric

    def score(logits, num_splits):
        numbers = isc_features_to_metric(torch.from_numpy(logits), num_splits, True, 2020)
        return {name.split("_")[-1]: value for name, value in numbers.items()}

    return score


def _prdc():
    from prdc import compute_prdc

    def numbers(real, fake, num_neighbors):
        return {name: float(value) for name, value in compute_prdc(real, fake, num_neighbors).items()}

    return numbers


def _curve_by_loops(real, fake):
    """Precision and recall, `[1001, 2]`, of the shares of two histograms, one slope and one bin at a time."""
    shares = list(zip(real / real.sum(), fake / fake.sum(), strict=True))
    precision = [sum(min(slope * one, other) for one, other in shares) for slope in _SLOPES]
    return np.array([(value, value / slope) for value, slope in zip(precision, _SLOPES, strict=True)])


def _f_scores(curve):
    precision, recall = curve.T
    weights = (64, 1 / 64)  # the squares of 8 and 1 / 8
    return [float(np.max((1 + w) * precision * recall / (w * precision + recall + 1e-10))) for w in weights]


def _prd_by_loops():
    return lambda real, fake: _f_scores(_curve_by_loops(real, fake))


def _scikit_learn_prd():
    from sklearn.cluster import KMeans

    def scores(real, fake):
        both, curves = np.concatenate([real, fake]), []
        for seed in range(10):
            labels = KMeans(20, n_init=1, random_state=seed).fit(both).labels_
            counts = [np.bincount(part, minlength=20) for part in (labels[: len(real)], labels[len(real) :])]
            curves.append(_curve_by_loops(*counts))
        return _f_scores(np.mean(curves, axis=0))

    return scores


def _vendi_score():
    # It names a module that SciPy has since removed, `scipy.sparse.csr`.
    import scipy.sparse
    from vendi_score import vendi

    if not hasattr(scipy.sparse, "csr"):
        scipy.sparse.csr = types.SimpleNamespace(csr_matrix=scipy.sparse.csr_matrix)
    return lambda features, order: float(vendi.score_dual(features, q="inf" if np.isinf(order) else order))


def _pytorch_msssim():
    import pytorch_msssim

    def similarity(first, second):
        arrays = [torch.from_numpy(np.moveaxis(array, -1, 1) + 1) for array in (first, second)]
        return pytorch_msssim.ms_ssim(*arrays, data_range=2, size_average=False).tolist()

    return similarity


_LOADERS = {
    "frechet": {
        "pytorch-fid": _pytorch_fid,
        "torch-fidelity": _torch_fidelity_frechet,
        "clean-fid": _clean_fid,
        "scipy sqrtm": _sqrtm,
    },
    "kernel": {"torch-fidelity": _torch_fidelity_kernel},
    "inception score": {"torch-fidelity": _torch_fidelity_inception_score},
    "precision, recall": {"prdc": _prdc},
    "prd of histograms": {"plain loops": _prd_by_loops},
    "prd": {"scikit-learn, loops": _scikit_learn_prd},
    "vendi": {"vendi-score": _vendi_score},
    "ms-ssim": {"pytorch-msssim": _pytorch_msssim},
}
