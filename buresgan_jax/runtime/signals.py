"""SIGTERM and Ctrl-C ask training to stop. It stops between two calls, where the state can be saved."""

import contextlib
import signal
import sys
import threading


class StoppedError(KeyboardInterrupt):
    """A signal ended training. Like its base class it passes every `except Exception`, because a stop is no failure."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


class StopSignals:
    """Context manager that records SIGTERM and SIGINT.

    A second Ctrl-C raises StoppedError at once. Outside of the main thread, where Python allows no handlers, no signal
    is recorded.

    Attributes:
        number: Number of the signal that arrived; 0 before.
    """

    def __init__(self, *, alone: bool):
        """Prepares to record signals; `__enter__` starts.

        Args:
            alone: Whether this is the only process. Otherwise the other processes would wait for one that stops at
                once.
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
        """Makes a signal raise StoppedError at once in this context, where there is nothing to save yet.

        Do not use it for code that calls JAX: an exception during tracing can crash the interpreter at its end.
        """
        self.stop_before_first_step()
        self._at_once = self._alone
        try:
            yield
        finally:
            self._at_once = False

    def stop_before_first_step(self) -> None:
        """Raises StoppedError if a signal has arrived."""
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
