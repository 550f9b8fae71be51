"""Flags of several programs, defined once because absl allows each name only once in a process."""

from typing import Any

from absl import flags
from ml_collections import config_flags


class _OrNone:
    """Makes a parser take the word None, for keys whose value may be None; `config.check` refuses it elsewhere."""

    def parse(self, argument):
        """Returns None, or what the parser returns."""
        return None if argument == "None" else super().parse(argument)


for _kind, _parser in (
    (int, flags.IntegerParser),
    (float, flags.FloatParser),
    (bool, flags.BooleanParser),
    (str, flags.ArgumentParser),
):
    config_flags.register_flag_parser_for_type(_kind, type("OrNone", (_OrNone, _parser), {})())

CONFIG = config_flags.DEFINE_config_file("config", None, "NAME or FILE.py, either with :METHOD.", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the program's output: checkpoints, metrics, pictures.")
TOGETHER = flags.DEFINE_enum(
    "together", "auto", ["auto", "processes", "vmap"], "How to run several runs: processes or vmap."
)
JOBS = flags.DEFINE_integer(
    "jobs",
    None,
    "Number of runs at a time. Default: one process per core or GPU; with vmap, all.",
    lower_bound=1,
    upper_bound=1000,
)
CACHE = flags.DEFINE_bool("compilation_cache", True, "Keep compiled programs for the next start.")
CACHE_DIR = flags.DEFINE_string(
    "compilation_cache_dir", None, "Folder of compiled programs. Default: buresgan_jax in the user's cache folder."
)


def overrides() -> dict[str, Any]:
    """Returns the config keys that flags `--config.KEY=VALUE` override, with their values."""
    return {} if CONFIG.value is None else dict(config_flags.get_override_values(flags.FLAGS[CONFIG.name]))


def cache_arguments() -> tuple[str, ...]:
    """Returns the user's flags about the compilation cache, for the command line of another program."""
    given = (flags.FLAGS[each.name] for each in (CACHE, CACHE_DIR))
    return tuple(flag.serialize() for flag in given if flag.present)
