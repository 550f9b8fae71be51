"""From a program that computes on this machine alone to its exit status."""

import signal
import sys
from collections.abc import Callable

from buresgan_jax.errors import UserError, one_line
from buresgan_jax.runtime import process, signals


def exit_status(run: Callable[[], object]) -> int:
    """Sets the process up for computing, runs a program, and says in one line on standard error how it failed.

    Args:
        run: The program, after its arguments were read.

    Returns:
        0; 2 for an error that the user can fix; 1 if nobody reads the output any more; 130 for Ctrl-C.
    """
    signals.interrupt_programs()
    process.tune_for_cpu()
    process.quiet_libraries()
    try:
        run()
    except UserError as error:
        print(one_line(error), file=sys.stderr)
        return 2
    except BrokenPipeError:  # such as of `head`
        process.drop_output()
        return 1
    except OSError as error:
        print(f"Cannot read or write: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0
