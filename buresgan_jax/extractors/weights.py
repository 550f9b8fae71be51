"""Files of a network's weights: from a path, a URL or an installed package, known by the sha256 of their bytes."""

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
import numpy as np
from etils import epath

from buresgan_jax.errors import UserError
from buresgan_jax.extractors import torch_file
from buresgan_jax.runtime import user_cache

_URL_SCHEMES = ("http://", "https://", "file://")
_TIMEOUT_SECONDS = 60


class Weights(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: by name.
        sha256: of the file, 64 hexadecimal digits.
        source: where it came from, for messages.
    """

    arrays: dict[str, np.ndarray]
    sha256: str
    source: str


def read_weights(source: epath.PathLike, *, sha256: str | None = None) -> Weights:
    """Reads a file of weights.

    Args:
        source: path, local or `gs://`, or URL. What a URL names is kept in `buresgan_jax/weights` of `$XDG_CACHE_HOME`
            or `~/.cache`, and never downloaded twice.
        sha256: that the file must have, or its first digits; by default those that its name ends with, as in
            `inception-6726825d.pth`, if there are any.

    Returns:
        Its arrays; formats: see `torch_file.read_arrays`.

    Raises:
        UserError: it does not exist, cannot be downloaded, has another sha256, or is no file of weights.
    """
    source = os.fspath(source)
    promised = re.search(r"-(?=[0-9a-f]*[a-f])([0-9a-f]{8,64})\.\w+$", source)  # digits alone may be a date
    sha256 = sha256 or (promised[1] if promised else "")
    path = epath.Path(_download(source, sha256) if source.startswith(_URL_SCHEMES) else source)
    if not path.is_file():
        raise UserError(f"The file of weights {path} does not exist. Give its path, or a URL.")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(sha256):
        raise UserError(f"The file of weights {path} has sha256 {found}, expected is {sha256}. Give another file.")
    try:
        return Weights(torch_file.read_arrays(content), found, str(path))
    except Exception as error:  # damaged pickles raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} is no file of weights ({reason}). Give a state dict written by torch.save, or the file that came "
            "with the package."
        ) from error


def find_in_package(package: str, file: str, install: str) -> pathlib.Path:
    """The path of a file that an installed package brought, without importing the package.

    Args:
        package: its import name.
        file: path within it.
        install: the command that installs it, for the message.

    Raises:
        UserError: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise UserError(f"These weights are in the package {package}, which is not installed. Run: {install}")
    return pathlib.Path(spec.submodule_search_locations[0]) / file


def check_params(params: dict, like: dict, source: str) -> dict:
    """Returns parameters, or raises `UserError` where they are not those of the network.

    Args:
        params: nested dictionaries of arrays.
        like: the same of shapes, as `jax.eval_shape` of the network's `init` gives them.
        source: where they came from.
    """
    shapes, expected = (
        {name: leaf.shape for name, leaf in flax.traverse_util.flatten_dict(tree, sep="/").items()}
        for tree in (params, like)
    )
    wrong = sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
    if wrong:
        raise UserError(
            f"{source} holds the weights of another network: {wrong[0]} has shape {shapes.get(wrong[0])}, expected is "
            f"{expected.get(wrong[0])}; {len(wrong)} of {len(expected)} arrays differ."
        )
    return params


def fold_batch_norm(arrays: dict[str, np.ndarray], conv: str, norm: str, eps: float) -> dict[str, np.ndarray]:
    """One convolution that computes a convolution and the batch norm after it, in inference.

    Args:
        arrays: a state dict of PyTorch.
        conv: name of the convolution, without a bias, kernel `[out, in, height, width]`.
        norm: name of the batch norm.
        eps: of the batch norm.

    Returns:
        `kernel` `[height, width, in, out]` and `bias` `[out]`, float32, computed in float64.

    Raises:
        KeyError: an array is missing.
    """
    kernel = arrays[f"{conv}.weight"]
    weight, bias, mean, var = (arrays[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var"))
    scale = weight / np.sqrt(var.astype(np.float64) + eps)
    kernel, bias = kernel.transpose(2, 3, 1, 0) * scale, bias - mean * scale
    return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}


def _download(url: str, sha256: str) -> pathlib.Path:
    """The path of the cached file; a kill leaves no part of it under that name."""
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
        raise UserError(f"Cannot download {url} ({error}). Download it elsewhere and give its path.") from error
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
        raise OSError(f"it ended after {file.tell()} of {expected} bytes")
    if not digest.hexdigest().startswith(sha256):
        raise OSError(f"its sha256 is {digest.hexdigest()}, expected is {sha256}")
