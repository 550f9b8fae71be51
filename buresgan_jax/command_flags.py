"""The flags that several programs have: absl knows each name once in a process."""

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "configs/NAME.py or configs/NAME.py:METHOD.", lock_config=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for what the program writes: checkpoints, metrics, pictures.")
TOGETHER = flags.DEFINE_enum("together", "auto", ["auto", "processes", "vmap"], "How many runs go on at once.")
JOBS = flags.DEFINE_integer(
    "jobs", None, "How many runs at a time; default: a process per core, under vmap all.", lower_bound=1
)
