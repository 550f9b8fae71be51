"""Data sets and the pipeline that feeds them to training; nothing here imports TensorFlow.

Each declared data set is one line: `buresgan_jax.data.ring(seed=0)` opens it with the defaults of its options.
"""

from buresgan_jax.data.augment import random_flips as random_flips
from buresgan_jax.data.augment import with_flips as with_flips
from buresgan_jax.data.blended import blended_source as blended_source
from buresgan_jax.data.feed import DataMemory as DataMemory
from buresgan_jax.data.feed import Feed as Feed
from buresgan_jax.data.feed import decode_payload as decode_payload
from buresgan_jax.data.feed import make_feed as make_feed
from buresgan_jax.data.folder import folder_source as folder_source
from buresgan_jax.data.folder import image_folder as image_folder
from buresgan_jax.data.image_set import ImageBatches as ImageBatches
from buresgan_jax.data.image_set import image_set as image_set
from buresgan_jax.data.images import IMAGE_SETS as IMAGE_SETS
from buresgan_jax.data.images import celeb_a as celeb_a
from buresgan_jax.data.images import cifar10 as cifar10
from buresgan_jax.data.images import cifar100 as cifar100
from buresgan_jax.data.images import fashion_mnist as fashion_mnist
from buresgan_jax.data.images import mnist as mnist
from buresgan_jax.data.images import stl10 as stl10
from buresgan_jax.data.images import tfds as tfds
from buresgan_jax.data.images import tfds_source as tfds_source
from buresgan_jax.data.joined import joined as joined
from buresgan_jax.data.joined import joined_source as joined_source
from buresgan_jax.data.pipeline import batch_indices as batch_indices
from buresgan_jax.data.pipeline import prefetch as prefetch
from buresgan_jax.data.pipeline import read_steps as read_steps
from buresgan_jax.data.pipeline import step_indices as step_indices
from buresgan_jax.data.source import Description as Description
from buresgan_jax.data.source import Mixture as Mixture
from buresgan_jax.data.source import Source as Source
from buresgan_jax.data.source import decode_images as decode_images
from buresgan_jax.data.source import decode_points as decode_points
from buresgan_jax.data.source import describe_images as describe_images
from buresgan_jax.data.source import encode_images as encode_images
from buresgan_jax.data.stacked import stacked_labels as stacked_labels
from buresgan_jax.data.stacked import stacked_mnist as stacked_mnist
from buresgan_jax.data.stacked import stacked_source as stacked_source
from buresgan_jax.data.synthetic import circle as circle
from buresgan_jax.data.synthetic import circle_mixture as circle_mixture
from buresgan_jax.data.synthetic import grid as grid
from buresgan_jax.data.synthetic import grid_mixture as grid_mixture
from buresgan_jax.data.synthetic import held_out_points as held_out_points
from buresgan_jax.data.synthetic import mixture_source as mixture_source
from buresgan_jax.data.synthetic import ring as ring
from buresgan_jax.data.synthetic import ring_mixture as ring_mixture
from buresgan_jax.data.synthetic import sample_mixture as sample_mixture
from buresgan_jax.data.synthetic import spiral as spiral
from buresgan_jax.data.synthetic import spiral_mixture as spiral_mixture
from buresgan_jax.data.synthetic import two_scales as two_scales
from buresgan_jax.data.synthetic import two_scales_mixture as two_scales_mixture
from buresgan_jax.data.synthetic import unbalanced_grid as unbalanced_grid
from buresgan_jax.data.synthetic import unbalanced_grid_mixture as unbalanced_grid_mixture
from buresgan_jax.data.synthetic import unbalanced_ring as unbalanced_ring
from buresgan_jax.data.synthetic import unbalanced_ring_mixture as unbalanced_ring_mixture
