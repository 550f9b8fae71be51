"""Settings of a whole process, for programs. The library never changes them."""

import functools
import logging as std_logging
import os
import sys
import warnings

from absl import logging

from buresgan_jax.runtime import blas, malloc, xla


def tune_for_cpu(blas_threads: int = 1) -> None:
    """Makes JAX fast on a CPU. Has no relevant effect on GPU and TPU. Call it before the first JAX call.

    Args:
        blas_threads: Number of threads for decompositions of small matrices, see `blas.limit_threads`.
    """
    blas.limit_threads(blas_threads)
    xla.choose_cpu_kernels()
    malloc.keep_freed_memory()


def drop_output() -> None:
    """Makes standard output go nowhere, because nobody reads it any more: flushing it at exit would be an error."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)


@functools.cache
def quiet_libraries() -> None:
    """Keeps libraries from printing what the program says itself, in one line.

    Orbax's threads log the errors that they also raise, such as a full disk: several tracebacks, and one more for each
    write that has not ended when the first fails. Pillow warns of flaws of pictures that it can or cannot read.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    std_logging.getLogger("PIL").setLevel(std_logging.CRITICAL)
    logging.get_absl_logger().addFilter(_is_not_of_orbax)
    others = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":  # tensorstore's call to a loop that orbax has closed
            others(unraisable)

    sys.unraisablehook = hook


def _is_not_of_orbax(record):
    return record.levelno < logging.converter.STANDARD_ERROR or "/orbax/" not in record.pathname.replace("\\", "/")
