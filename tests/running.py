"""Waiting for other processes."""

import pathlib
import time
from collections.abc import Callable


def is_running(pid: int) -> bool:
    """Whether there is such a process, on Linux; one that has ended and is not waited for does not count."""
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns when the condition holds; fails when it does not for so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
