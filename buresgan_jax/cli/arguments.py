"""Arguments of programs without a config: one line for a wrong one, and the limits of whole numbers."""

import argparse
from collections.abc import Callable

from buresgan_jax.declarations import MOST_INT


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        """Exits with one line, without the usage."""
        self.exit(2, f"{message}. --help lists all options.\n")


def whole_number(least: int, most: int = MOST_INT) -> Callable[[str], int]:
    """Makes a type for `add_argument`: whole numbers within limits."""

    def convert(word):
        if not (word.removeprefix("-").isdecimal() and len(word) < 20 and least <= int(word) <= most):
            raise argparse.ArgumentTypeError(f"it must be a whole number from {least} to {most}, got {word}")
        return int(word)

    return convert
