"""Networks that make the features which metrics compare: images in, NumPy arrays out."""

from buresgan_jax.features.extractor import Extractor as Extractor
from buresgan_jax.features.extractor import Features as Features
from buresgan_jax.features.extractor import make_extractor as make_extractor
from buresgan_jax.features.extractor import metric_name as metric_name
from buresgan_jax.features.inception import inception_v3 as inception_v3
from buresgan_jax.features.mobilenet import mobilenet_v2 as mobilenet_v2
from buresgan_jax.features.pixels import pixels as pixels
from buresgan_jax.features.vgg import vgg16 as vgg16
