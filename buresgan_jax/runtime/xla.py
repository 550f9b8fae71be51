"""Which kernels XLA's CPU backend uses."""

import os

import jax

HAS_FLAG = (0, 10) <= jax.__version_info__[:2] <= (0, 12)  # as far as is known
_FLAG = "--xla_cpu_experimental_ynn_fusion_type"


def choose_cpu_kernels() -> None:
    """Leaves YNNPACK only the reductions on a CPU, unless the user's `XLA_FLAGS` say something about it.

    jax 0.10 to 0.12 give YNNPACK convolutions and matrix products too, for which XLA's own kernels are faster here:
    without this a CIFAR DCGAN step on two cores takes 1.3 times as long (jax 0.10.2; 1.13 with 0.12.0). Later versions
    are left alone: a flag that an XLA does not know ends the process. Call it before the first JAX call, as
    `process.tune_for_cpu` does; it changes nothing on GPU and TPU, and nothing once a backend has started.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _FLAG not in flags and HAS_FLAG:
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}=LIBRARY_FUSION_TYPE_REDUCE".strip()
