"""Evaluation networks, which compute features for metrics: images in, NumPy arrays out."""

from buresgan_jax.extractors.choice import EXTRACTORS as EXTRACTORS
from buresgan_jax.extractors.choice import named_extractor as named_extractor
from buresgan_jax.extractors.extractor import Extractor as Extractor
from buresgan_jax.extractors.extractor import Features as Features
from buresgan_jax.extractors.extractor import make_extractor as make_extractor
from buresgan_jax.extractors.extractor import metric_name as metric_name
from buresgan_jax.extractors.inception import inception_v3 as inception_v3
from buresgan_jax.extractors.mobilenet import mobilenet_v2 as mobilenet_v2
from buresgan_jax.extractors.pixels import pixels as pixels
from buresgan_jax.extractors.vgg import vgg16 as vgg16
