"""Every test sees four CPU devices, one BLAS thread, strict rank promotion, and warnings as errors."""

import os

# Before jax starts: the devices that the tests of data parallelism need.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
import threadpoolctl

jax.config.update("jax_numpy_rank_promotion", "raise")
# OpenBLAS threads slow small eigh and svd calls down a hundredfold when another process has a core.
threadpoolctl.threadpool_limits(1, user_api="blas")


@pytest.fixture
def x64():
    """float64 for one test."""
    with jax.enable_x64(True):
        yield
