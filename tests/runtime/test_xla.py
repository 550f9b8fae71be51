"""The choice of CPU kernels, each in its own process, because flags are read once."""

import os
import subprocess
import sys

import pytest

from buresgan_jax.runtime import xla

CODE = """
import jax, jax.numpy as jnp
from buresgan_jax.runtime import xla
xla.choose_cpu_kernels()
product = jax.jit(jnp.dot).lower(jnp.ones((512, 512)), jnp.ones((512, 512))).compile().as_text()
print("ynn" in product)
"""


def uses_ynnpack(flags):
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(not xla.HAS_FLAG, reason="this version of jax is not known")
def test_matrix_products_go_to_ynnpack_only_where_the_user_says_so():
    assert uses_ynnpack("") == "False"
    assert uses_ynnpack("--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_DOT") == "True"
