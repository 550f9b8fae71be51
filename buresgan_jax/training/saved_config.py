"""A config file whose argument is a workdir, `saved_config.py:WORKDIR`: `main` resumes a run with its own config."""

import re

from buresgan_jax.runtime.paths import user_path
from buresgan_jax.training.workdir import read_config


def get_config(workdir: str):
    """Returns the config of the run in a workdir."""
    return read_config(user_path(workdir, "--workdir"))


def arguments(argv: list[str]) -> list[str]:
    """Adds `--config` to the arguments of a training whose workdir holds a config, unless they have one."""
    given = {name: _last_value(argv, name) for name in ("config", "list", "mode", "workdir")}
    if given["config"] is not None or given["list"] is not None or given["mode"] not in (None, "train"):
        return argv
    workdir = given["workdir"]
    if not workdir or not (user_path(workdir, "--workdir") / "config.json").exists():
        return argv
    return [argv[0], f"--config={__file__}:{workdir}", *argv[1:]]


def _last_value(argv, name):
    """Returns the value of the last flag of a name; None without one."""
    value = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if found := re.fullmatch(rf"--?{name}(?:=(.*))?", word, flags=re.DOTALL):
            value = following if found[1] is None else found[1]
    return value
