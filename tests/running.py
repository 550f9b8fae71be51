"""Whether processes go on."""

import pathlib


def is_running(pid: int) -> bool:
    """Whether there is such a process, on Linux; one that has ended and is not waited for does not count."""
    try:
        return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
