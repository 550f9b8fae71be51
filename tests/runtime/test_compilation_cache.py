"""Compiled programs are kept for the next start if that is safe."""

import os
import subprocess
import sys

import jax
import pytest

from buresgan_jax.runtime import compilation_cache

PROGRAM = """
import sys, jax
from buresgan_jax.runtime import compilation_cache
compilation_cache._MIN_SECONDS = 0.0
compilation_cache.enable(sys.argv[1] or None)
print(jax.jit(lambda x: jax.numpy.sin(x) + 1)(0.0))
"""


def test_nothing_is_kept_on_cpus_with_several_devices(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(compilation_cache.logging, "warning", lambda text, *values: warnings.append(text % values))
    compilation_cache.enable()
    assert not warnings
    compilation_cache.enable("mine")
    assert warnings == ["Compiled programs are not kept in mine: jax crashes on CPUs with several devices."]
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize(
    ("folder", "variable", "kept"),
    [
        ("given", None, "given/cpu-*"),
        ("given", "jax", "given/cpu-*"),
        ("", "jax", "jax"),
        ("", None, "home/buresgan_jax/cpu-*"),
    ],
)
def test_programs_are_kept_in_the_given_folder_or_that_of_the_environment(tmp_path, folder, variable, kept):
    environment = {**os.environ, "XLA_FLAGS": "", "XDG_CACHE_HOME": str(tmp_path / "home")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if variable:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / variable)
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    argument = str(tmp_path / folder) if folder else ""
    subprocess.run([sys.executable, "-c", PROGRAM, argument], env=environment, check=True)
    found = {path.parent for path in tmp_path.rglob("*-cache")}
    assert len(found) == 1
    assert found == set(tmp_path.glob(kept))
