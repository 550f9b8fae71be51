"""Every test sees four CPU devices, one BLAS thread, strict rank promotion, and warnings as errors."""

import gc
import os
import shutil
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before jax is imported

import jax
import pytest
from helpers import xla_flags

from buresgan_jax.runtime import blas, xla

# Before jax starts: the devices that the tests of data parallelism need.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " " + xla_flags(num_devices=4)
jax.config.update("jax_numpy_rank_promotion", "raise")
blas.limit_threads(1)
xla.choose_cpu_kernels()  # as `main` does: runs in this process equal those in others bit for bit

# Tracing makes millions of small objects: with Python's thresholds their collections take 5 % of the suite.
gc.freeze()
gc.set_threshold(50_000, 20, 100)

# Programs that tests start keep nothing in the user's caches, and find there what others of this session compiled.
_is_worker = "PYTEST_XDIST_WORKER" in os.environ
if not _is_worker:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="buresgan_jax_tests_")

# The files that take longest begin first, so that the workers end together.
_LONGEST = ("algorithms", "golden_updates", "sketches", "train", "main", "distances", "public_functions", "convolution")
_LONGEST += ("processes", "methods", "geometry", "saved_run", "layouts", "networks", "networks_resnet", "penalties")
_LONGEST += ("steps", "classifier")


def pytest_collection_modifyitems(items):
    """Sorts the tests; those of a file stay together and in order."""
    rank = {f"test_{name}": index for index, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_unconfigure():
    """Removes the session's caches."""
    if not _is_worker:
        shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Frees what a file has compiled: the programs of all files would take gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def x64():
    """float64 for one test."""
    with jax.enable_x64(True):
        yield
