"""The choice of kernels in XLA's CPU backend."""

import os

import jax

HAS_FLAG = (0, 10) <= jax.__version_info__[:2] <= (0, 12)  # the known versions with this flag
_FLAG = "--xla_cpu_experimental_ynn_fusion_type"


def choose_cpu_kernels() -> None:
    """Restricts YNNPACK to reductions on a CPU, unless the user's `XLA_FLAGS` set this flag.

    jax 0.10 to 0.12 also use YNNPACK for convolutions and matrix products, but XLA's own kernels are faster for these
    networks: without this flag a CIFAR DCGAN step on two cores takes 1.3 times as long (jax 0.10.2; 1.13 with 0.12.0).
    For later versions nothing is set, because XLA ends the process on an unknown flag. Call this before the first JAX
    call, as `process.tune_for_cpu` does. It has no effect on GPU and TPU, and none after a backend has started.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _FLAG not in flags and HAS_FLAG:
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}=LIBRARY_FUSION_TYPE_REDUCE".strip()
