"""Threads of the BLAS that JAX uses on a CPU."""

import scipy.linalg  # noqa: F401  (loads the OpenBLAS of JAX's `eigh` and `svd`, so that its threads can be limited)
import threadpoolctl


def limit_threads(num_threads: int = 1) -> None:
    """Limits the BLAS threads of this process.

    With several threads, `jnp.linalg.eigh` of a 128 x 128 matrix takes a hundred times as long as with one thread if
    another process uses a core. Call this once at the start, as `process.tune_for_cpu` does. The library never changes
    the number of threads.

    Args:
        num_threads: Number of threads, at least 1.
    """
    threadpoolctl.threadpool_limits(num_threads, user_api="blas")
