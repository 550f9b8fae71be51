"""Checks of the inputs of metrics, with one clear line for each kind of bad input.

Statistics are accumulated and compared in float64 by NumPy and LAPACK on the host, independently of JAX's precision:
most metrics are a difference of nearly equal sums.
"""

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

_RANGE_TOLERANCE = 1e-3  # for images that were resized


def check_features(name: str, features: ArrayLike, *, min_samples: int = 1, lower: str = "") -> np.ndarray:
    """Checks features and returns them as an array. Float32 and float64 are kept, other dtypes become float64.

    Args:
        name: Name of the features in the message.
        features: One example per row, shape `[n, dim]`.
        min_samples: The smallest number of examples that the metric needs.
        lower: Name of the option that determines `min_samples`, if there is one.

    Raises:
        ValueError: The features are not real numbers of shape `[n, dim]`, there are fewer than `min_samples`, or a
            value is not finite.
    """
    features = np.asarray(features)
    is_real = features.dtype.kind in "iub" or jnp.issubdtype(features.dtype, jnp.floating)  # bfloat16 is of kind V
    if features.ndim != 2 or not features.shape[1] or not is_real:
        raise ValueError(
            f"{name} must be real numbers of shape [n, dim], one example per row; "
            f"got shape {features.shape} of {features.dtype}."
        )
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    check_num_samples(name, len(features), min_samples, lower)
    check_finite(name, features)
    return features


def check_num_samples(name: str, num_samples: int, min_samples: int, lower: str = "") -> None:
    """Raises ValueError if there are fewer samples than the metric needs."""
    if num_samples < min_samples:
        remedy = f"Give more, or lower {lower}." if lower else "Give more."
        raise ValueError(
            f"{name} has too few samples: this metric needs at least {min_samples}, got {num_samples}. {remedy}"
        )


def check_finite(name: str, array: np.ndarray) -> None:
    """Raises ValueError with the number of examples (entries of the first axis) that hold NaN or infinity."""
    if not np.isfinite(array).all():
        num_bad = int((~np.isfinite(array)).reshape(len(array), -1).any(1).sum())
        raise ValueError(
            f"{num_bad} of {len(array)} samples of {name} are not finite: "
            "the network that made them diverged, or its input held NaN."
        )


def check_same_dim(real: int, fake: int) -> None:
    """Raises ValueError unless both feature dimensions are equal."""
    if real != fake:
        raise ValueError(
            f"real and fake must have features of the same dimension, got {real} and {fake}. "
            "Compute both with the same layer of the same network."
        )


def check_positive_integer(**values: int) -> None:
    """Raises ValueError unless every value is 1, 2, 3, ..."""
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def check_images(name: str, images: ArrayLike, *, min_samples: int = 1) -> np.ndarray:
    """Checks images and returns them as float32 within [-1, 1].

    Args:
        name: Name of the images in the message.
        images: Images, shape `[n, height, width, channels]`. Floating within [-1, 1] up to 1e-3 (clipped), or uint8,
            which are mapped by x / 127.5 - 1.
        min_samples: The smallest number of images that the metric needs.

    Raises:
        ValueError: The shape or dtype is another one, there are fewer than `min_samples`, or a value is not finite or
            outside of [-1, 1].
    """
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{name} must be images of shape [n, height, width, channels], got shape {images.shape}.")
    check_num_samples(name, len(images), min_samples)
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(127.5) - 1
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"{name} must be floating within [-1, 1], or uint8, got {images.dtype}.")
    check_finite(name, images)
    lowest, highest = float(images.min()), float(images.max())
    if lowest < -1 - _RANGE_TOLERANCE or highest > 1 + _RANGE_TOLERANCE:
        raise ValueError(
            f"{name} must lie within [-1, 1], got values from {lowest:.6g} to {highest:.6g}. Clip or rescale them."
        )
    return np.clip(images, -1, 1).astype(np.float32)


def check_same_image_shape(real: np.ndarray, fake: np.ndarray) -> None:
    """Raises ValueError unless height, width and channels are equal."""
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            "real and fake must have images of the same height, width and number of channels, "
            f"got {real.shape[1:]} and {fake.shape[1:]}."
        )
