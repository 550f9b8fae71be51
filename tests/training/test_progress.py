"""What a run shows on a terminal while it trains: nothing is cut at 80 columns."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios

from buresgan_jax.training.progress import Progress

VALUES = {f"a_metric_of_some_length_{number}": number / 7 for number in range(9)}


@contextlib.contextmanager
def terminal(monkeypatch):
    """A terminal of 80 columns as standard error; the function returns what it was sent since the last call."""
    window, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
    with open(inside, "w") as stderr, open(window, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", stderr)
        os.set_blocking(window, False)

        def read():
            stderr.flush()
            shown = b""
            while part := screen.read(4096):
                shown += part
            return shown.decode()

        yield read
        monkeypatch.undo()


def rows(shown):
    """The lines of a terminal's text, without what moves its cursor."""
    return [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[\w", "", shown)) if line]


def test_no_number_is_cut_on_a_terminal(monkeypatch):
    with terminal(monkeypatch) as read:
        progress = Progress(0, 100, show=True)
        progress.step(10)
        read()
        progress.report(10, VALUES)
        progress.say("step 10: " + "  ".join(f"{name} {value:.4g}" for name, value in VALUES.items()))
        shown = rows(read())
        progress.close()
    assert max(map(len, shown)) <= 80
    for name, value in VALUES.items():
        assert sum(f"{name} {value:.4g}" in row for row in shown) >= 2, shown  # below the bar, and in the text above
    assert any(row.startswith(" 10%|") and "10/100" in row for row in shown)


def test_metrics_below_the_line_disappear_at_the_end(monkeypatch):
    with terminal(monkeypatch) as read:
        progress = Progress(0, 100, show=True)
        progress.report(10, VALUES)
        progress.close()
        last = read().rpartition("a_metric")[2]
    assert "\x1b[A" in last  # the cursor goes up again
    assert "10/100" not in last
