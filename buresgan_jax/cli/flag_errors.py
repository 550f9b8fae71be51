"""Turns the errors of absl, ml_collections and config files about a wrong command line into one clear line."""

import re
import sys
import traceback

from absl import flags
from ml_collections import config_dict

from buresgan_jax.cli import config_files
from buresgan_jax.errors import UserError, one_line

_REASONS = (
    (r"invalid literal for int", "it is not an integer"),
    (r"could not convert string to float", "it is not a number"),
    (r"Non-boolean argument", "it is neither true nor false"),
)


def parse_or_exit(argv: list[str]) -> list[str]:
    """Parses like `parse`. An error ends the program with one line and status 2 instead of a traceback."""
    try:
        return parse(argv)
    except SystemExit:  # --help, after which absl exits with status 1
        sys.exit(0)
    except UserError as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)


def parse(argv: list[str]) -> list[str]:
    """Parses like absl.

    Args:
        argv: The program's arguments. Its flag `--config` comes from `ml_collections.config_flags`.

    Returns:
        The program's name and the positional arguments.

    Raises:
        UserError: A flag or the config file is wrong.
    """
    argv = ["--list=everything" if each in ("--list", "-list") else each for each in argv]
    argv, file = _find_config_file(argv)
    try:
        rest = flags.FLAGS(argv)
    except Exception as error:  # flags.Error, or any error of the config file
        raise UserError(_explain(error, argv, file)) from error
    if file and not isinstance(flags.FLAGS["config"].value, config_dict.ConfigDict):
        raise UserError(f"Config file {file}: get_config() does not return a ConfigDict, or the file cannot be read.")
    return rest


def _find_config_file(argv):
    """Returns the arguments, with the path of the config file instead of a name, and that path or None."""
    overrides = [position for position, argument in enumerate(argv) if re.match(r"--?(no)?config\.", argument)]
    positions = [position for position, argument in enumerate(argv) if re.match(r"--?config(=|$)", argument)]
    if overrides and (not positions or overrides[0] < positions[0]):
        raise UserError(f"{argv[overrides[0]]} needs a config file before it, such as --config=ring.")
    if not positions:
        return argv, None
    flag, equals, value = argv[positions[-1]].partition("=")
    rest = argv[positions[-1] + 1 :]
    if not equals:
        value, rest = "".join(rest[:1]), rest[1:]
    name, colon, argument = value.partition(":")
    file = config_files.find(name)
    return [*argv[: positions[-1]], f"{flag}={file}{colon}{argument}", *rest], file


def _explain(error, argv, file):
    cause = error
    while cause is not None and not isinstance(cause, UserError):  # ml_collections wraps errors of the config file
        cause = cause.__cause__ or cause.__context__
    if cause is not None and "Error whilst parsing" not in str(cause):
        return str(cause)
    if cause is not None and isinstance(cause.__context__, UserError):
        return str(cause.__context__)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if "has no attribute 'get_config'" in text:
        return f"Config file {file} has no function get_config."
    line = _line_in(file, error, text)
    if line is not None:
        last = text.strip().splitlines()[-1] if "Error whilst parsing" in text else f"{type(error).__name__}: {text}"
        return f"Config file {file}, line {line}: {last}"
    if isinstance(error, KeyError | AttributeError):
        return _explain_key(text, argv)
    for pattern, reason in _REASONS:
        text = re.sub(rf"{pattern}.*|\(?'?{pattern}.*", reason, text)
    text = re.sub(r"Did you mean: (.*) \?", r"Did you mean --\1?", text.removeprefix("flag "))
    return text if text.endswith("?") else text.rstrip(".") + "."


def _line_in(file, error, text):
    """Returns the line of the config file with the error; None if the error is not in that file."""
    if isinstance(error, SyntaxError):
        return error.lineno
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if file and "Error whilst parsing" in text:  # ml_collections puts the traceback into the message
        frames += re.findall(rf'File "{re.escape(file)}", line (\d+)', text) or ["?"]
    return frames[-1] if frames else None


def _explain_key(text, argv):
    """Explains `'num_step' Did you mean "num_steps" instead of "num_step"?`, with or without a similar key."""
    path = re.search(r"Attempting to lookup: (\S+)", text) or re.search(r"([\w.]+)", text)
    word = path[1].split(".")[-1] if path else ""
    override = next((argument for argument in argv if word in re.split(r"[.=]", argument)), "the command line")
    nearest = re.search(r'Did you mean "?(\w+)', text)
    hint = f"Did you mean {nearest[1]!r}?" if nearest else "python -m buresgan_jax.main --list=keys lists all keys."
    return f"Unknown config key {word!r} in {override}. {hint}"
