"""Settings of a whole process, for programs: the library leaves the process alone."""

from buresgan_jax.runtime import blas, malloc, xla


def tune_for_cpu(blas_threads: int = 1) -> None:
    """Makes JAX fast on a CPU; changes nothing that matters on GPU and TPU. Call it before the first JAX call.

    Args:
        blas_threads: threads of the decompositions of small matrices, see `blas.limit_threads`.
    """
    blas.limit_threads(blas_threads)
    xla.choose_cpu_kernels()
    malloc.keep_freed_memory()
