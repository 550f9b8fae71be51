"""What becomes of freed memory, each time in a process of its own: the settings are for good."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")

CODE = """
import resource, statistics, sys
from buresgan_jax import malloc
import jax, jax.numpy as jnp
if sys.argv[1]:
    jax.config.update("jax_platforms", sys.argv[1])
malloc.keep_freed_memory()
double = jax.jit(lambda x: 2 * x).lower(jnp.zeros(2**24)).compile()  # 64 MB, which are 16,384 pages
x = jnp.ones(2**24)
faults = []
for _ in range(41):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    double(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(statistics.median(faults))  # JAX frees results some calls later: the first ones are on new pages
"""


def page_faults(platforms="cpu", **environment):
    """Pages that the system had to provide for a usual call that returns 64 MB."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("GLIBC_TUNABLES", "XLA_FLAGS")}
    inherited = {name: value for name, value in inherited.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", CODE, platforms]
    options = {"capture_output": True, "text": True, "check": True}
    return int(subprocess.run(command, env={**inherited, "JAX_PLATFORMS": "", **environment}, **options).stdout)


def test_calls_get_pages_that_the_process_has_already():
    assert page_faults() < 100


@pytest.mark.parametrize(
    "environment",
    [{"MALLOC_ARENA_MAX": "4"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536"}],
    ids=lambda environment: next(iter(environment)),
)
def test_settings_of_the_user_stay(environment):
    assert page_faults(**environment) > 16_000


def test_where_an_accelerator_may_be_used_all_stays():
    assert page_faults(platforms="cpu,cuda") > 16_000


def test_without_accelerators_of_jax_no_platform_needs_to_be_named():
    assert page_faults(platforms="") < 100
