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
    """Shows a live line on a terminal, and plain lines elsewhere."""

    def __init__(self, start: int, stop: int, *, show: bool):
        """Begins the live line.

        Args:
            start: The first step.
            stop: The step after the last one.
            show: Whether to show anything.
        """
        self._live = show and sys.stderr.isatty()
        self._plain = show and not self._live
        self._start, self._stop, self._begin = start, stop, None
        known = self._live and all(os.get_terminal_size(sys.stderr.fileno()))
        size = {"dynamic_ncols": True} if known else {"ncols": 100, "nrows": 20}  # on 0 x 0 tqdm would show nothing
        self._bar = tqdm.tqdm(total=stop, initial=start, unit="step", smoothing=0.1, disable=not self._live, **size)

    def step(self, step: int) -> None:
        """Notes that this many steps are done."""
        if self._begin is None:  # the first call compiles
            self._begin = (time.monotonic(), step)
        self._bar.update(max(0, step - self._bar.n))

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Shows metrics."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.set_postfix_str(text, refresh=False)
        if self._plain:
            self.say(f"step {step}/{self._stop}  {self._speed(step)}{text}")

    def _speed(self, step):
        seconds, first = time.monotonic() - self._begin[0], self._begin[1]
        if step == first or not seconds:
            return ""
        rate = (step - first) / seconds
        left = datetime.timedelta(seconds=round((self._stop - step) / rate))
        return f"{rate:.3g} steps/s  {left} left  "

    def say(self, text: str) -> None:
        """Shows a line of text above the live line."""
        if self._live or self._plain:
            with contextlib.suppress(OSError):  # a terminal that was closed
                self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Ends the live line."""
        self._bar.close()


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
