"""Joins this process to others, as its flags say. This must come before any other JAX call."""

import concurrent.futures
import os
import re
import socket
import sys
import time

import jax
from absl import flags

from buresgan_jax.errors import UserError
from buresgan_jax.runtime import lost_processes

_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Join a cluster that jax.distributed detects automatically.")
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "Host:port of process 0, for other clusters.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes, with --coordinator_address.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Index of this process, with --coordinator_address.")
_TIMEOUT = flags.DEFINE_integer("connect_timeout", 60, "Seconds to wait for the other processes.", lower_bound=1)

_HEARTBEAT_SECONDS = 30  # a process that was silent for so long is lost
_RETRY_SECONDS = 0.5
_LAST_WORDS_SECONDS = 2  # process 0, whose end ends the others, waits so long for their own messages


def join() -> None:
    """Joins the other processes if the flags ask for it.

    Raises:
        UserError: Process 0 cannot be reached, or a flag is missing or wrong.
    """
    where = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if any(value is not None for value in where) and None in where:
        raise UserError("Give --coordinator_address, --num_processes and --process_id together, or none of them.")
    if not _DISTRIBUTED.value and None in where:
        return
    address, num_processes, process_id = where
    if address is not None:
        _check(address, num_processes, process_id)
    if process_id:
        _wait_for(address, _TIMEOUT.value)
    lost_processes.watch(address, _TIMEOUT.value)
    jax.config.update("jax_enable_preemption_service", False)  # the loop has its own handlers of signals
    options = {"initialization_timeout": _TIMEOUT.value, "heartbeat_timeout_seconds": _HEARTBEAT_SECONDS}
    try:
        # In a thread, so that Ctrl-C ends the wait.
        concurrent.futures.ThreadPoolExecutor(1).submit(jax.distributed.initialize, *where, **options).result()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"Cannot join the other processes: {error}") from error


def is_loss(error: Exception) -> bool:
    """Returns whether an error means that another process was lost, and waits until the process is named.

    Usually the wait does not return: `lost_processes` ends this process with the name of the lost one.
    """
    if jax.process_count() == 1 or not lost_processes.is_loss(error):
        return False
    time.sleep(2 * _HEARTBEAT_SECONDS)
    return True


def is_joined() -> bool:
    """Returns whether this process has joined others."""
    return jax.distributed.is_initialized()


def leave(status: int) -> int:
    """Ends this process if there are others, which wait for it otherwise; returns the status if there are none."""
    if is_joined() and status:
        sys.stdout.flush()
        if jax.process_index() == 0:
            time.sleep(_LAST_WORDS_SECONDS)
        os._exit(status)
    return status


def _check(address, num_processes, process_id):
    host, _, port = address.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator_address must be HOST:PORT, such as localhost:1234, got {address!r}.")
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id must be from 0 to {num_processes - 1} (--num_processes - 1), got {process_id}.")


def _wait_for(address, seconds):
    """Waits until process 0 listens; JAX itself would end this process with a dump."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_RETRY_SECONDS * 4).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Process 0 does not answer at {address} within {seconds} s ({error.strerror or error}). Start it, "
                    "or correct --coordinator_address; --connect_timeout waits longer."
                ) from error
        time.sleep(_RETRY_SECONDS)
