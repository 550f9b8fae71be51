"""XLA's flags for tests, which compile much and compute little."""

import jax


def xla_flags(num_devices: int) -> str:
    """So many CPU devices; nothing is optimised; fusions are compiled without MLIR, which takes half of the time."""
    flags = f"--xla_force_host_platform_device_count={num_devices} --xla_backend_optimization_level=0"
    if jax.__version_info__[:2] == (0, 10):  # a flag that an XLA does not know ends the process
        flags += " --xla_cpu_use_fusion_emitters=false"
    return flags
