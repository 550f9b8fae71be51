"""From a config to functions: the only place where a name becomes a function.

Nothing that is built here sees the config; every builder takes plain arguments. A name that no table has ends in a
`UserError` with the nearest one that it has.
"""

from buresgan_jax.builders._data import data_fingerprint as data_fingerprint
from buresgan_jax.builders._data import data_places as data_places
from buresgan_jax.builders._data import describe as describe
from buresgan_jax.builders._data import has_splits as has_splits
from buresgan_jax.builders._data import source as source
from buresgan_jax.builders._data import source_key as source_key
from buresgan_jax.builders._evaluation import evaluators as evaluators
from buresgan_jax.builders._evaluation import perfect_samples as perfect_samples
from buresgan_jax.builders._evaluation import shared_by_runs as shared_by_runs
from buresgan_jax.builders._methods import algorithm as algorithm
from buresgan_jax.builders._methods import check_batch_size as check_batch_size
from buresgan_jax.builders._methods import game as game
from buresgan_jax.builders._networks import discriminator as discriminator
from buresgan_jax.builders._networks import generator as generator
