"""Ctrl-C, SIGTERM and SIGHUP (a closed terminal) stop a program: in one line, and with the state saved if there is one.

Loads nothing but the standard library, so that it comes before JAX, whose import takes seconds.
"""

import contextlib
import os
import re
import signal
import stat
import sys
import threading
from collections.abc import Sequence

SIGHUP = getattr(signal, "SIGHUP", None)  # not on Windows
_STOP = tuple(number for number in (signal.SIGTERM, signal.SIGINT, SIGHUP) if number is not None)
STATUSES = {*(128 + number for number in _STOP), *(-number for number in _STOP)}  # of a program that a signal ended


class StoppedError(KeyboardInterrupt):
    """A signal ended training. Like its base class it passes every `except Exception`, because a stop is no failure."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number


def is_program(argv: Sequence[str], words: Sequence[str]) -> bool:
    """Returns whether Python was started as one of this package's programs: `python -m buresgan_jax.NAME`, `buresgan`.

    Args:
        argv: `sys.argv` while the package is imported: it begins with "-m" if the interpreter itself was given a
            module, and with a file's name otherwise.
        words: The words of the interpreter's command line, `sys.orig_argv`.
    """
    if argv[0] == "-m":  # then the module is the last word before the arguments, also in `-um MODULE` and `-mMODULE`
        return re.fullmatch(r"(-[A-Za-z]*?m)?buresgan_jax(\..*)?", words[-len(argv)]) is not None
    if os.path.basename(argv[0]) != "buresgan":
        return False
    with contextlib.suppress(OSError), open(argv[0], "rb") as script:
        return b"from buresgan_jax.cli.command import main" in script.read()
    return False


# Only there may a signal end the process at once. Elsewhere, such as in a notebook, it raises an exception.
_IS_PROGRAM = is_program(sys.argv or [""], sys.orig_argv)


def end_programs_in_one_line() -> None:
    """Makes Ctrl-C end a program of this package at once, in one line. `StopSignals` replaces this during training."""
    if _IS_PROGRAM and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def interrupt_programs() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt in a program of this package, so that half-written files are removed."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number, _):
    _exit("Interrupted.", number)


def handle(on_signal) -> contextlib.ExitStack:
    """Installs a handler of SIGTERM, SIGINT and SIGHUP, unless SIGHUP is ignored, as `nohup` asks.

    Args:
        on_signal: Handler, as of `signal.signal`.

    Returns:
        A context manager that installs the old handlers again. Outside of the main thread, where Python allows no
        handlers, it does nothing.
    """
    stack = contextlib.ExitStack()
    if threading.current_thread() is threading.main_thread():
        for number in _STOP:
            if number != SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                stack.callback(signal.signal, number, signal.signal(number, on_signal))
    return stack


def say(text: str) -> None:
    """Writes a line to standard error. Nobody may be listening, and a handler may have interrupted another line."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        print(f"\n{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def leave_terminal() -> None:
    """Makes output go nowhere instead of to a closed terminal, where every line would be an error."""
    with contextlib.suppress(OSError), open(os.devnull, "w") as nothing:
        for number in (1, 2):
            if stat.S_ISCHR(os.fstat(number).st_mode):
                os.dup2(nothing.fileno(), number)


class StopSignals:
    """Context manager that records SIGTERM, SIGINT and SIGHUP.

    In a program a thread reacts to them, because Python calls no handler while JAX compiles. There a second Ctrl-C, or
    any signal before the first step, ends the process at once. Elsewhere they raise StoppedError: the second Ctrl-C
    anywhere, the first signal in `interruptible`.

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
        self._alone, self._at_once, self._has_steps = alone, False, False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "StopSignals":
        with contextlib.ExitStack() as stack:
            if _IS_PROGRAM:
                stack.enter_context(self._watch())
            stack.enter_context(handle(self._on_signal))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def interruptible(self):
        """Makes a signal stop at once in this context, where there is nothing to save yet.

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
            raise StoppedError(self._nothing_to_save(), self.number)

    def has_steps(self) -> None:
        """Notes that there is something to save from now on."""
        self._has_steps = True

    def _nothing_to_save(self):
        return f"{signal.Signals(self.number).name}: stopped before the first step; there is nothing to save."

    @contextlib.contextmanager
    def _watch(self):
        """Starts the thread that reacts to signals."""
        numbers, received = os.pipe()
        os.set_blocking(received, False)
        old = signal.set_wakeup_fd(received, warn_on_full_buffer=False)
        threading.Thread(target=self._react_to_all, args=(numbers,), daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(old)
            os.close(received)

    def _react_to_all(self, numbers):
        with open(numbers, "rb", buffering=0) as pipe:
            while number := pipe.read(1):
                if number[0] in _STOP:
                    self._react(number[0], _exit)

    def _on_signal(self, number, _):
        if not _IS_PROGRAM:
            self._react(number, _raise)

    def _react(self, number, stop):
        if number == SIGHUP:
            leave_terminal()
        name, is_first = signal.Signals(number).name, not self.number
        if not is_first and number == signal.SIGINT:
            stop(f"{name} again: stopped at once, without saving.", number)
        self.number = self.number or number
        if self._alone and (self._at_once or (_IS_PROGRAM and not self._has_steps)):
            stop(self._nothing_to_save(), self.number)
        if is_first:
            hint = " Ctrl-C again to stop at once, without saving." if number == signal.SIGINT else ""
            say(f"{name}: stopping after this step.{hint}")


def _raise(message, number):
    raise StoppedError(message, number)


def _exit(message, number):
    say(message)
    os._exit(128 + number)
