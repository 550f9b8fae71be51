"""SIGTERM and Ctrl-C ask training to stop; it obeys between two calls, when the state can be saved."""

import contextlib
import signal
import sys
import threading


class StoppedError(KeyboardInterrupt):
    """A signal ended training. Like its base it passes every `except Exception`: a stop is not a damaged file."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class StopSignals:
    """Context manager that notes SIGTERM and SIGINT.

    Ctrl-C pressed a second time raises StoppedError at once. In a thread that is not the main one, where Python allows
    no handlers, nothing is noted.

    Attributes:
        number: the signal that came, 0 before.
    """

    def __init__(self, *, alone: bool):
        """Notes nothing yet.

        Args:
            alone: whether this is the only process: others would wait for one that leaves without telling them.
        """
        self.number = 0
        self._alone, self._at_once = alone, False
        self._old = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def interruptible(self):
        """In here, where nothing can be saved yet, a signal raises StoppedError at once.

        Not for code that calls JAX: an exception in the middle of tracing can crash the interpreter when it ends.
        """
        self.stop_before_first_step()
        self._at_once = self._alone
        try:
            yield
        finally:
            self._at_once = False

    def stop_before_first_step(self) -> None:
        """Raises StoppedError if a signal came."""
        if self.number and self._alone:
            name = signal.Signals(self.number).name
            raise StoppedError(f"{name}: stopped before the first step; there is nothing to save.", self.number)

    def _on_signal(self, number, _):
        name = signal.Signals(number).name
        if self.number and number == signal.SIGINT:
            raise StoppedError(f"{name} again: stopped at once, without saving.", number)
        self.number = self.number or number
        if self._at_once:
            self.stop_before_first_step()
        print(f"{name}: stopping after this step.", file=sys.stderr, flush=True)
