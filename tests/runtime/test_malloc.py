"""Freed memory stays in the process."""

import ctypes
import pathlib
import platform
import subprocess
import sys
import types

import pytest

from buresgan_jax.runtime import malloc

_HUGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture
def calls(monkeypatch):
    """The calls of `mallopt` of a process on a CPU of Linux with glibc, which are not made."""
    made = []
    library = types.SimpleNamespace(mallopt=lambda *arguments: made.append(arguments))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(malloc, "is_cpu_only", lambda platforms: platforms == "cpu")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    for name in ("MALLOC_ARENA_MAX", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_one_arena_without_maps_that_is_never_trimmed(calls):
    malloc.keep_freed_memory()
    assert calls == [(-8, 1), (-4, 0), (-1, -1)]


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=65536")]
)
def test_settings_of_the_user_stay(name, value, calls, monkeypatch):
    monkeypatch.setenv(name, value)
    malloc.keep_freed_memory()
    assert calls == []


@pytest.mark.parametrize("facts", [{"libc_ver": ("", "")}, {"system": "Darwin"}], ids=["musl", "macOS"])
def test_other_libraries_are_left_alone(facts, calls, monkeypatch):
    for name, value in facts.items():
        monkeypatch.setattr(platform, name, lambda value=value: value)
    malloc.keep_freed_memory()
    assert calls == []


CODE = """
import resource, statistics
from buresgan_jax.runtime import malloc
malloc.keep_freed_memory()
import jax, jax.numpy as jnp
double = jax.jit(lambda x: 2 * x).lower(jnp.zeros(2**24)).compile()  # 64 MB
x, faults = jnp.ones(2**24), []
for _ in range(41):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    double(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(statistics.median(faults))  # JAX frees results some calls later: the first ones are on new pages
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
@pytest.mark.parametrize(("settings", "keeps"), [({}, True), ({"MALLOC_ARENA_MAX": "4"}, False)])
def test_a_call_gets_pages_that_the_process_has_already(settings, keeps):
    if not keeps and _HUGE_PAGES.exists() and "[always]" in _HUGE_PAGES.read_text():
        pytest.skip("the system gives pages of megabytes")
    environment = {"JAX_PLATFORMS": "cpu", "PATH": "", "PYTHONPATH": ":".join(sys.path), **settings}
    options = {"env": environment, "capture_output": True, "text": True, "check": True}
    faults = float(subprocess.run([sys.executable, "-c", CODE], **options).stdout)
    assert (faults < 100) == keeps
