"""The flags that several programs have: absl knows each name once in a process."""

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "configs/NAME.py or configs/NAME.py:METHOD.", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for what the program writes: checkpoints, metrics, pictures.")
TOGETHER = flags.DEFINE_enum("together", "auto", ["auto", "processes", "vmap"], "How many runs go on at once.")
JOBS = flags.DEFINE_integer(
    "jobs", None, "How many runs at a time; default: a process per core or GPU, under vmap all.", lower_bound=1
)
CACHE = flags.DEFINE_bool("compilation_cache", True, "Keep compiled programs for the next start.")
CACHE_DIR = flags.DEFINE_string("compilation_cache_dir", None, "Where; default: buresgan_jax in the user's caches.")


def cache_arguments() -> tuple[str, ...]:
    """What the user said of the compilation cache, for the command line of another program."""
    given = (flags.FLAGS[each.name] for each in (CACHE, CACHE_DIR))
    return tuple(flag.serialize() for flag in given if flag.present)
