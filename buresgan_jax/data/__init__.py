"""Data sets and the pipeline that feeds them to training; nothing in here imports TensorFlow."""

from buresgan_jax.data.feed import DataMemory, Feed, make_feed
from buresgan_jax.data.folder import folder_source
from buresgan_jax.data.image_set import ImageBatches, image_set
from buresgan_jax.data.images import IMAGE_SETS, tfds_source
from buresgan_jax.data.pipeline import batch_indices, prefetch, read_steps, step_indices
from buresgan_jax.data.source import Description, Mixture, Source, decode_images, decode_points, encode_images
from buresgan_jax.data.stacked_mnist import stacked_labels, stacked_source
from buresgan_jax.data.synthetic import (
    MIXTURES,
    grid_mixture,
    mixture_source,
    ring_mixture,
    sample_mixture,
    unbalanced_grid_mixture,
    unbalanced_ring_mixture,
)

__all__ = [
    "IMAGE_SETS",
    "MIXTURES",
    "DataMemory",
    "Description",
    "Feed",
    "ImageBatches",
    "Mixture",
    "Source",
    "batch_indices",
    "decode_images",
    "decode_points",
    "encode_images",
    "folder_source",
    "grid_mixture",
    "image_set",
    "make_feed",
    "mixture_source",
    "prefetch",
    "read_steps",
    "ring_mixture",
    "sample_mixture",
    "stacked_labels",
    "stacked_source",
    "step_indices",
    "tfds_source",
    "unbalanced_grid_mixture",
    "unbalanced_ring_mixture",
]
