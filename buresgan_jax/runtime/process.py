"""Settings of a whole process, for programs. The library never changes them."""

from buresgan_jax.runtime import blas, malloc, xla


def tune_for_cpu(blas_threads: int = 1) -> None:
    """Makes JAX fast on a CPU. Has no relevant effect on GPU and TPU. Call it before the first JAX call.

    Args:
        blas_threads: Number of threads for decompositions of small matrices, see `blas.limit_threads`.
    """
    blas.limit_threads(blas_threads)
    xla.choose_cpu_kernels()
    malloc.keep_freed_memory()
