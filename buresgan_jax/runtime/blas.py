"""Threads of the BLAS that JAX uses on a CPU."""

import scipy.linalg  # noqa: F401  (loads the OpenBLAS whose `eigh` and `svd` JAX calls, so that it can be limited)
import threadpoolctl


def limit_threads(num_threads: int = 1) -> None:
    """Limits the BLAS threads of this process.

    `jnp.linalg.eigh` of a 128 x 128 matrix takes a hundred times as long with several threads as with one, as soon as
    another process uses a core. Call it once at the start, as `process.tune_for_cpu` does; the library leaves the
    process alone.

    Args:
        num_threads: at least 1.
    """
    threadpoolctl.threadpool_limits(num_threads, user_api="blas")
