"""The messages of JAX's coordination service, as recorded with jax 0.10.2, in one line."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT

from buresgan_jax.runtime import lost_processes

FATAL = (
    "F1130 16:15:36.832558   15521 client.h:80] Terminating process because the JAX distributed service detected fatal "
    "errors. This most likely indicates that another task died; see the other task logs. absl::Status: "
)
SILENT = f"""\
E1130 16:15:36.832409   15521 coordination_service_agent.cc:289] Polled an error from coordination service.
{FATAL}UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
1
12
The tasks have crashed. Check the task logs for an earlier error, or scheduler events (e.g. preemption, eviction).

RPC: /xla.coordination.CoordinationService/PollForError
"""
AT_THE_END = f"""\
E1130 16:13:34.112202   11662 coordination_service.cc:1520] [1] Shutdown barrier in coordination service has failed:
INTERNAL: Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 1 heartbeat timeout. This indicates that ...
{FATAL}INTERNAL: Shutdown barrier has failed.
"""
NO_SERVICE = (
    f"{FATAL}UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was preempted/died\n"
)
NOBODY = f"{FATAL}DEADLINE_EXCEEDED: Deadline Exceeded\n\nRPC: /xla.coordination.CoordinationService/RegisterTask\n"
TRACE = "*** Check failure stack trace: ***\n    @     0x7f5521e40634  absl::lts_20260107::LogMessage::SendToLog()\n"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (SILENT, "Lost process 1, 12: it was killed or cannot be reached."),
        (AT_THE_END, "Lost process 1: it was killed or cannot be reached."),
        (NO_SERVICE, "Lost process 0: it was killed or cannot be reached."),
        (NOBODY, "absent"),
    ],
)
def test_messages_of_the_service_name_the_lost_process(log, expected):
    assert lost_processes.verdict(log, "absent").startswith(expected)


def test_other_messages_end_no_process():
    assert lost_processes.verdict(SILENT.replace("detected fatal errors", "is fine"), "absent") is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("UNKNOWN: Gloo all-reduce failed: [pair.cc:547] Connection closed by peer [127.0.0.1]:905", True),
        ("RESOURCE_EXHAUSTED: Out of memory allocating 1024 bytes.", False),
        ("A batch of 10004 does not fit", False),
    ],
)
def test_errors_of_lost_connections_are_known(error, expected):
    assert lost_processes.is_loss(ValueError(error)) == expected


def test_a_dump_becomes_one_line_and_other_text_is_kept():
    """The process aborts, as the service does, in the place of the service."""
    program = f"""
import ctypes, os, sys
from absl import logging
from buresgan_jax.runtime import lost_processes
lost_processes.watch("host:1", 60)
os.write(2, b"a library speaks\\n")
print("mine", file=sys.stderr)
logging.use_absl_handler()
logging.warning("a warning")
os.write(2, {(SILENT + TRACE).encode()!r})
ctypes.CDLL(None).abort()
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    for line in ("a library speaks", "mine", "a warning"):
        assert sum(each.endswith(line) for each in lines) == 1
    assert not [each for each in lines if "Polled" in each or "absl" in each]
    assert lines[-1].startswith("Lost process 1, 12: ")
