"""Compiled programs are kept for the next start, where that is safe."""

import os
import subprocess
import sys

import jax
import pytest

from buresgan_jax import compilation_cache

PROGRAM = """
import sys, jax
from buresgan_jax import compilation_cache
compilation_cache._MIN_SECONDS = 0.0
compilation_cache.enable(sys.argv[1] or None)
print(jax.jit(lambda x: jax.numpy.sin(x) + 1)(0.0))
"""


def test_nothing_is_kept_on_cpus_with_several_devices(tmp_path):
    compilation_cache.enable(str(tmp_path))
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize("folder", ["given", ""])
def test_programs_are_kept_in_the_given_folder_or_that_of_the_user(tmp_path, folder):
    environment = {**os.environ, "XLA_FLAGS": "", "XDG_CACHE_HOME": str(tmp_path / "home")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    argument = str(tmp_path / folder) if folder else ""
    subprocess.run([sys.executable, "-c", PROGRAM, argument], env=environment, check=True)
    kept = tmp_path / "given" if folder else tmp_path / "home" / "buresgan_jax"
    assert list(kept.glob("cpu-*/*"))
