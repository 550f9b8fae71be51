"""The one exception that means: the user can mend this, a traceback would not help."""


class UserError(ValueError):
    """A mistake in a config, a workdir or a data set; the message says what was got, what is allowed and what to do.

    `main` prints the message as one line and exits with status 2. The array functions of the public API raise plain
    `ValueError` and `TypeError` instead.
    """
