"""SIGTERM and Ctrl-C ask training to stop; it obeys between two calls, when the state can be saved."""

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

    Until `defer` is set a signal raises StoppedError at once: there is nothing to save yet. So does Ctrl-C pressed a
    second time. In a thread that is not the main one, where Python allows no handlers, it does nothing.

    Attributes:
        number: the signal that came, 0 before.
        defer: whether the loop is there to look at `number`.
    """

    def __init__(self, *, defer: bool = False):
        self.number = 0
        self.defer = defer
        self._old = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _on_signal(self, number, _):
        name = signal.Signals(number).name
        if not self.defer:
            raise StoppedError(f"{name}: stopped before the first step; there is nothing to save.", number)
        if self.number and number == signal.SIGINT:
            raise StoppedError(f"{name} again: stopped at once, without saving.", number)
        self.number = self.number or number
        print(f"{name}: stopping and saving after this step.", file=sys.stderr, flush=True)
