"""Configs: methods, defaults, keys. Config files import this as `from buresgan_jax import config as defaults`."""

from buresgan_jax.config.catalog import find as find
from buresgan_jax.config.defaults import add_component as add_component
from buresgan_jax.config.defaults import default as default
from buresgan_jax.config.defaults import finish as finish
from buresgan_jax.config.defaults import use_images as use_images
from buresgan_jax.config.defaults import use_points as use_points
from buresgan_jax.config.defaults import use_resnets as use_resnets
from buresgan_jax.config.keys import SLOTS as SLOTS
from buresgan_jax.config.keys import check as check
from buresgan_jax.config.keys import check_overrides as check_overrides
from buresgan_jax.config.keys import check_value as check_value
from buresgan_jax.config.keys import chosen as chosen
from buresgan_jax.config.keys import complete as complete
from buresgan_jax.config.keys import declared as declared
from buresgan_jax.config.keys import flatten as flatten
from buresgan_jax.config.keys import free_keys as free_keys
from buresgan_jax.config.keys import parse_value as parse_value
from buresgan_jax.config.keys import traced_keys as traced_keys
from buresgan_jax.config.keys import unread as unread
from buresgan_jax.config.methods import METHODS as METHODS
from buresgan_jax.config.methods import PAPER_METHODS as PAPER_METHODS
from buresgan_jax.config.methods import Method as Method
