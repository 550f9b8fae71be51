"""Trained classifiers of samples, and their weights files."""

import functools
import hashlib
import json
import shlex
from typing import Any, NamedTuple

import flax
import jax
import numpy as np
from etils import epath

from buresgan_jax.errors import UserError
from buresgan_jax.networks import ImageClassifier
from buresgan_jax.runtime import files
from buresgan_jax.runtime.paths import user_path

_BATCH = 1000


class Classifier(NamedTuple):
    """A trained classifier.

    Attributes:
        network: Its module.
        params: Its parameters.
        metadata: JSON values by name: data set, sizes of the splits, accuracies, settings, seed, version.
    """

    network: ImageClassifier
    params: Any
    metadata: dict[str, Any]

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Returns the most likely class of each picture, without a threshold.

        Args:
            images: Pictures in [-1, 1], shape `[n, height, width, channels]`.

        Returns:
            int64 labels, shape `[n]`.
        """
        return self.logits(images).argmax(1)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Computes logits of pictures in batches of one compiled size.

        Args:
            images: Pictures in [-1, 1], shape `[n, height, width, channels]`.

        Returns:
            float32, shape `[n, num_classes]`.
        """
        parts = [np.zeros((0, self.network.num_classes), np.float32)]
        for start in range(0, len(images), _BATCH):
            part = np.asarray(images[start : start + _BATCH], np.float32)
            filled = np.zeros((_BATCH, *part.shape[1:]), np.float32)
            filled[: len(part)] = part
            parts.append(np.asarray(_apply(self.network, self.params, filled))[: len(part)])
        return np.concatenate(parts)


@functools.partial(jax.jit, static_argnums=0)
def _apply(network, params, images):
    return network.apply({"params": params}, images, train=False)


def save_classifier(classifier: Classifier, file: epath.PathLike) -> None:
    """Writes weights and metadata to an `.npz` file; a kill leaves the old file or the new one, never a part.

    Args:
        classifier: The classifier.
        file: The file, local or `gs://`; its folder is created.
    """
    file, arrays = user_path(file, "classifier"), _flatten(classifier.params)
    metadata = json.dumps(classifier.metadata, sort_keys=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(file) as opened:
        np.savez(opened, metadata=metadata, sha256=_sha256(metadata, arrays), **arrays)


def load_classifier(
    file: epath.PathLike,
    data_set: str,
    *,
    network: ImageClassifier | None = None,
    image_shape: tuple[int, int, int] = (28, 28, 1),
    **facts: Any,
) -> Classifier:
    """Reads weights and checks that they are whole and for this data set.

    Args:
        file: A file that `save_classifier` has written.
        data_set: The set that it was trained on, such as `mnist`, or several with commas between them.
        network: The module. Default: `ImageClassifier()`.
        image_shape: Shape of the pictures.
        **facts: Further values that its metadata must have, which are flags of `buresgan_jax.train_classifier`.

    Returns:
        The classifier.

    Raises:
        UserError: The file is missing, damaged, for another data set, for other facts or for another network.
    """
    file, network = user_path(file, "classifier"), network or ImageClassifier()
    flags = "".join(f" --{name}={shlex.quote(str(value))}" for name, value in facts.items())
    command = f"python -m buresgan_jax.train_classifier --data={data_set}{flags} --out={file}"
    hint = f"Remove it, or train another: {command}"
    metadata, arrays = _read(file, command, hint)
    for name, value in {"data_set": data_set, **facts}.items():
        if metadata.get(name) != value:
            what = "" if name == "data_set" else f"{name}="
            raise UserError(
                f"The classifier's file {file} is for {what}{metadata.get(name)!r}, not for {value!r}. {hint}"
            )
    init = functools.partial(network.init, train=False)
    like = jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct((1, *image_shape), np.float32))
    like = _flatten(like["params"])
    shapes, expected = ({name: array.shape for name, array in some.items()} for some in (arrays, like))
    if shapes != expected:
        raise UserError(f"The classifier's file {file} has weights {shapes}, expected are {expected}. {hint}")
    return Classifier(network, flax.traverse_util.unflatten_dict(arrays, sep="/"), metadata)


def _read(file, command, hint):
    if not file.exists():
        raise UserError(f"The classifier's file {file} does not exist. Train one: {command}")
    try:
        arrays = files.read_arrays(file)
        text, sha256 = str(arrays.pop("metadata")), str(arrays.pop("sha256"))
        metadata = json.loads(text)
        if sha256 != _sha256(text, arrays) or "data_set" not in metadata:
            raise ValueError("its checksum differs")
    except OSError as error:
        raise UserError(f"The classifier's file {file} cannot be read: {error}. Give another file.") from error
    except KeyError as error:
        raise UserError(f"The classifier's file {file} is no classifier (it has no {error}). {hint}") from error
    except ValueError as error:
        raise UserError(f"The classifier's file {file} is damaged ({error}). {hint}") from error
    return metadata, arrays


def _flatten(params: Any) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(params, sep="/")


def _sha256(metadata: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name, array in sorted(arrays.items()):
        array = np.asarray(array)
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
