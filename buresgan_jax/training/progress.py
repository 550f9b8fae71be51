"""Progress of the training loop on standard error, and a trace of a few of its calls."""

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Mapping

import jax
import tqdm
from etils import epath


class Progress:
    """Shows a live line on a terminal, with the metrics below it, and plain lines elsewhere."""

    def __init__(self, start: int, stop: int, *, show: bool):
        """Begins the live line.

        Args:
            start: The first step.
            stop: The step after the last one.
            show: Whether to show anything.
        """
        self._live = show and sys.stderr.isatty()
        self._plain = show and not self._live
        self._stop, self._begin = stop, None
        known = self._live and all(os.get_terminal_size(sys.stderr.fileno()))
        self._size = {"dynamic_ncols": True} if known else {"ncols": 100, "nrows": 20}  # tqdm shows nothing on 0 x 0
        options = {"unit": "step", "smoothing": 0.1, "disable": not self._live, **self._size}
        self._bar, self._below = tqdm.tqdm(total=stop, initial=start, **options), []

    def step(self, step: int) -> None:
        """Notes that this many steps are done."""
        if self._begin is None:  # the first call compiles
            self._begin = (time.monotonic(), step)
        self._bar.update(max(0, step - self._bar.n))

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Shows metrics."""
        words = [f"{name} {value:.4g}" for name, value in values.items()]
        if self._plain:
            self.say(f"step {step}/{self._stop}  {self._speed(step)}{'  '.join(words)}")
        elif self._live:
            self._show_below(_lines(words, self._width()))

    def _show_below(self, lines):
        """Shows lines below the live line, in place of the former ones."""
        while len(self._below) < len(lines):
            position = len(self._below) + 1
            self._below.append(tqdm.tqdm(position=position, bar_format="{desc}", leave=False, **self._size))
        for number, line in enumerate(self._below):
            line.set_description_str(lines[number] if number < len(lines) else "")

    def _width(self):
        return self._size.get("ncols") or os.get_terminal_size(sys.stderr.fileno()).columns

    def _speed(self, step):
        seconds, first = time.monotonic() - self._begin[0], self._begin[1]
        if step == first or not seconds:
            return ""
        rate = (step - first) / seconds
        left = datetime.timedelta(seconds=round((self._stop - step) / rate))
        return f"{rate:.3g} steps/s  {left} left  "

    def say(self, text: str) -> None:
        """Shows a text above the live line, in lines that fit the terminal."""
        if self._live:
            text = "\n  ".join(_lines(text.split("  "), self._width() - 2))
        if self._live or self._plain:
            with contextlib.suppress(OSError):  # a terminal that was closed
                self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Ends the live line."""
        for line in (*self._below, self._bar):
            line.close()


def _lines(words, width):
    """Joins words, with two spaces between them, to lines of less than a width where they are short enough."""
    lines = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 < width:
            lines[-1] += f"  {word}"
        else:
            lines.append(word)
    return lines


class Trace:
    """Traces a few calls, when everything is compiled; TensorBoard's XProf shows them.

    Attributes:
        folder: Where the trace is written; None: nothing is traced.
        is_written: Whether it has been written.
    """

    _FIRST, _LAST = 2, 5

    def __init__(self, folder: epath.Path | None):
        """Traces nothing yet."""
        self.folder, self.is_written, self._running = folder, False, False

    def is_due(self, number: int) -> bool:
        """Whether the trace begins or ends before this call, counted from 0."""
        return self.folder is not None and number in (self._FIRST, self._LAST)

    def switch(self) -> None:
        """Begins or ends the trace."""
        if self._running:
            self.close()
        else:
            jax.profiler.start_trace(str(self.folder))
            self._running = True

    def close(self) -> None:
        """Ends the trace if it has not ended."""
        if self._running:
            jax.profiler.stop_trace()
            self._running, self.is_written = False, True
