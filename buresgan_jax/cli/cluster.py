"""Joins this process to others, as its flags say. This must come before any other JAX call."""

import jax
from absl import flags

from buresgan_jax.errors import UserError

_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Join a cluster that jax.distributed detects automatically.")
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "Host:port of process 0, for other clusters.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes, with --coordinator_address.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Index of this process, with --coordinator_address.")


def join() -> None:
    """Joins the other processes if the flags ask for it.

    Raises:
        UserError: The other processes cannot be reached, or a flag is missing.
    """
    where = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if any(value is not None for value in where) and None in where:
        raise UserError("Give --coordinator_address, --num_processes and --process_id together, or none of them.")
    if not _DISTRIBUTED.value and None in where:
        return
    try:
        jax.distributed.initialize(*where)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"Cannot join the other processes: {error}") from error
