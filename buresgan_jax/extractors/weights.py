"""Weights files from a path, a URL or an installed package, identified by the sha256 of their bytes."""

import contextlib
import hashlib
import importlib.util
import os
import pathlib
import re
import tempfile
import urllib.error
import urllib.request
from typing import NamedTuple

import flax
import jax
import numpy as np
from etils import epath

from buresgan_jax.errors import UserError
from buresgan_jax.extractors import torch_file
from buresgan_jax.runtime import user_cache
from buresgan_jax.runtime.paths import user_path

_URL_SCHEMES = ("http://", "https://", "file://")
_TIMEOUT_SECONDS = 60


class Weights(NamedTuple):
    """The content of a weights file.

    Attributes:
        arrays: Arrays by name.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
        source: Path of the file, for messages.
    """

    arrays: dict[str, np.ndarray]
    sha256: str
    source: str


def read_weights(source: epath.PathLike, *, sha256: str | None = None) -> Weights:
    """Reads a weights file.

    Args:
        source: Path, local or `gs://`, or URL. Downloads are kept in `buresgan_jax/weights` of `$XDG_CACHE_HOME` or
            `~/.cache`, and are not repeated.
        sha256: The expected sha256 of the file, or its first digits. Default: the digits at the end of the file's name,
            as in `inception-6726825d.pth`, if there are any.

    Returns:
        The arrays, read-only. For the formats see `torch_file.read_arrays`.

    Raises:
        UserError: The file does not exist, cannot be downloaded, has another sha256, or is not a weights file.
    """
    source = os.fspath(source)
    promised = re.search(r"-(?=[0-9a-f]*[a-f])([0-9a-f]{8,64})\.\w+$", source)  # digits alone may be a date
    sha256 = sha256 or (promised[1] if promised else "")
    path = user_path(_download(source, sha256) if source.startswith(_URL_SCHEMES) else source, "weights")
    if not path.is_file():
        raise UserError(
            f"The weights file {path} does not exist. Give a path or a URL by --weights or config.evaluation.weights."
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(sha256):
        raise UserError(f"The weights file {path} has sha256 {found}, expected {sha256}. Give another file.")
    try:
        return Weights(torch_file.read_arrays(content), found, str(path))
    except Exception as error:  # damaged pickles raise anything
        reason = " ".join(str(error)[:200].split()) or type(error).__name__
        raise UserError(
            f"{path} is not a weights file ({reason}). Give a state dict written by torch.save, or the file from the "
            "package."
        ) from error


def find_in_package(package: str, file: str, install: str) -> pathlib.Path:
    """Returns the path of a file in an installed package, without importing the package.

    Args:
        package: Import name of the package.
        file: Path within the package.
        install: Command that installs the package, for the message.

    Raises:
        UserError: The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise UserError(f"These weights are in the package {package}, which is not installed. Run: {install}")
    return pathlib.Path(spec.submodule_search_locations[0]) / file


def check_params(params: dict, like: dict, source: str) -> dict:
    """Checks that parameters have the shapes of the network; returns them in its dtypes.

    Args:
        params: Nested dictionaries of arrays of numbers.
        like: Nested dictionaries of shapes, from `jax.eval_shape` of the network's `init`.
        source: Name of the parameters in the message.

    Raises:
        UserError: The parameters belong to another network, or are not finite.
    """
    shapes, expected = (
        {name: leaf.shape for name, leaf in flax.traverse_util.flatten_dict(tree, sep="/").items()}
        for tree in (params, like)
    )
    wrong = sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
    if wrong:
        raise UserError(
            f"{source} holds the weights of another network: {wrong[0]} has shape {shapes.get(wrong[0])}, expected "
            f"{expected.get(wrong[0])}; {len(wrong)} of {len(expected)} arrays differ."
        )
    with np.errstate(over="ignore"):  # is found below
        params = jax.tree.map(lambda leaf, shape: np.asarray(leaf, shape.dtype), params, like)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise UserError(f"{source} is damaged: it holds weights that are not finite. Download it again.")
    return params


def fold_batch_norm(arrays: dict[str, np.ndarray], conv: str, norm: str, eps: float) -> dict[str, np.ndarray]:
    """Folds a batch norm, in inference, into the convolution before it.

    Args:
        arrays: A state dict of PyTorch.
        conv: Name of the convolution, which has no bias and a kernel `[out, in, height, width]`.
        norm: Name of the batch norm.
        eps: Number added to the variance of the batch norm.

    Returns:
        `kernel` `[height, width, in, out]` and `bias` `[out]`, float32, computed in float64.

    Raises:
        KeyError: An array is missing.
        ValueError: An array has another shape.
    """
    kernel = arrays[f"{conv}.weight"]
    weight, bias, mean, var = (arrays[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var"))
    if kernel.ndim != 4 or any(each.shape != kernel.shape[:1] for each in (weight, bias, mean, var)):
        raise ValueError(f"{conv}.weight has shape {kernel.shape}, {norm}.weight {weight.shape}")
    with np.errstate(all="ignore"):  # `check_params` finds what is not finite
        scale = weight / np.sqrt(var.astype(np.float64) + eps)
        kernel, bias = kernel.transpose(2, 3, 1, 0) * scale, bias - mean * scale
        return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def _download(url: str, sha256: str) -> pathlib.Path:
    """Downloads a file unless it is cached; returns its path. An interrupted download leaves no file at that path."""
    folder = user_cache.folder("weights") / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / url.rsplit("/", 1)[-1].partition("?")[0]
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _fetch(url, file, sha256)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"Cannot download {url} ({error}). Download it elsewhere and give its path: "
            "--weights=FILE, or config.evaluation.weights."
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
    return path


def _fetch(url, file, sha256):
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        while part := response.read(2**20):
            file.write(part)
            digest.update(part)
        expected = response.headers["Content-Length"]
    if expected is not None and file.tell() != int(expected):
        raise OSError(f"the download ended after {file.tell()} of {expected} bytes")
    if not digest.hexdigest().startswith(sha256):
        raise OSError(f"its sha256 is {digest.hexdigest()}, expected {sha256}")
