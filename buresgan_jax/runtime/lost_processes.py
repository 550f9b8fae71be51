"""One line, instead of a dump of C++ code, when another process of the same run is lost.

JAX's coordination service then writes pages to file descriptor 2 and aborts every process that is left. So the
descriptor becomes a pipe. A thread copies what comes out of it to standard error, except for the service's messages;
after the last of these it says which process is lost, and ends this one.
"""

import contextlib
import ctypes
import faulthandler
import os
import re
import signal
import sys
import threading

from absl import logging

_HEADER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (\S+):\d+\] ")  # of a line of the C++ log
_OF_SERVICE = ("client.h", "service.cc", "coordination_service.cc", "coordination_service_agent.cc")
_FATAL = "JAX distributed service detected fatal errors"
_STATUS = 1
_CONNECTION = re.compile(r"Gloo|NCCL|coordination service|heartbeat|UNAVAILABLE|[Cc]onnection")


def watch(connecting_to: str | None, seconds: int) -> None:
    """Begins to watch, before the service starts.

    Args:
        connecting_to: The address of process 0, if it is known, for the message about processes that do not come.
        seconds: How long they are waited for.
    """
    shown, (numbers, pipe) = os.dup(2), os.pipe()
    os.dup2(pipe, 2)
    os.close(pipe)
    sys.stderr = open(shown, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 (for good)
    faulthandler.enable(sys.stderr)
    logging.get_absl_handler().python_handler.setStream(sys.stderr)  # at once, not through the thread
    # abort() calls a handler first. This one, of C, sleeps for as many seconds as the signal's number, 6: enough for
    # the thread, which ends the process meanwhile.
    libc = ctypes.CDLL(None)
    libc.signal(signal.SIGABRT, ctypes.cast(libc.sleep, ctypes.c_void_p))
    where = f" (process 0 is expected at {connecting_to})" if connecting_to else ""
    absent = f"Not all processes have joined within {seconds} s{where}. Start all of them within that time."
    threading.Thread(target=_copy, args=(numbers, shown, absent), daemon=True).start()


def is_loss(error: BaseException) -> bool:
    """Returns whether an error of JAX says that another process does not answer."""
    return _CONNECTION.search(str(error)) is not None


def verdict(log: str, absent: str) -> str | None:
    """Returns what the service's messages mean, in one line.

    Args:
        log: The messages.
        absent: The line for processes that never came.

    Returns:
        The line; None if the messages are not about the end of this process.
    """
    if _FATAL not in log:
        return None
    if "RegisterTask" in log:
        return absent
    numbers = re.findall(r"[Tt]ask (\d+) heartbeat timeout", log)
    for group in re.findall(r"stopped sending heartbeats\):\n((?:\d+\n)+)", log):
        numbers += group.split()
    lost = ", ".join(sorted(set(numbers), key=int)) or "0"
    return (
        f"Lost process {lost}: it was killed or cannot be reached. Rerun the same command in all processes to resume."
    )


def _copy(numbers, shown, absent):
    log, is_log = "", False
    with open(numbers, errors="backslashreplace") as pipe:
        for line in pipe:
            if header := _HEADER.match(line):
                is_log = header[1] in _OF_SERVICE or header[1].startswith("preemption")
            if not is_log:
                _write(shown, line)
                continue
            log += line
            if "Check failure stack trace" in line or line.startswith("    @ "):
                _write(shown, f"{verdict(log, absent) or log}\n")
                os._exit(_STATUS)


def _write(shown, text):
    with contextlib.suppress(OSError):  # a terminal that was closed
        os.write(shown, text.encode(errors="backslashreplace"))
