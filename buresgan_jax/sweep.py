"""`python -m buresgan_jax.sweep`: trains one config with many seeds and settings at once and makes a table.

    python -m buresgan_jax.sweep --config=ring --workdir=runs/sweep --seeds=0:10
    python -m buresgan_jax.sweep --config=ring --workdir=runs/weights --seeds=0:3 \
        --grid=bures.weight=0.3,1,3 --grid=optimizer.generator_learning_rate=1e-3,3e-4

Each run has its own folder in the workdir, as if `buresgan_jax.main` had made it. Rerun the same command to resume.
`--together=processes` gives each run its own process. On a CPU it is pinned to a core, the fastest way there; elsewhere
it gets one GPU, and `--jobs` can put several runs on a GPU. `--together=vmap` trains runs that differ only in traced
values (seeds, learning rates, weights) under one vmap per device. `auto` chooses `processes` on a CPU and `vmap`
elsewhere.
"""

from absl import app, flags
from etils import epath
from ml_collections import config_flags

from buresgan_jax.cli import command_flags, flag_errors
from buresgan_jax.cli.command_flags import CONFIG, JOBS, TOGETHER, WORKDIR
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import tables
from buresgan_jax.launch import grid, processes, scheduler
from buresgan_jax.runtime.files import replace_text

flags.adopt_module_key_flags(command_flags)  # so that --help shows them
_SEEDS = flags.DEFINE_string("seeds", "0:1", "Seeds, such as 0:10 (ten) or 3,5,8.")
_GRID = flags.DEFINE_multi_string("grid", [], "KEY=VALUE,VALUE,... of the config. Several grids form a product.")


def _run():
    if CONFIG.value is None or WORKDIR.value is None:
        raise UserError("Give a config file and a folder: --config=ring --workdir=runs/sweep.")
    config, workdir = CONFIG.value, scheduler.local_folder(WORKDIR.value)
    settings = grid.parse_grid(_GRID.value, config)
    file = f"--config={config_flags.get_config_filename(flags.FLAGS['config'])}"
    seeds = grid.parse_seeds(_SEEDS.value)
    all_cells = grid.make_cells(config, workdir, seeds, settings, file, command_flags.overrides())
    workdir.mkdir(parents=True, exist_ok=True)
    outcomes = scheduler.run(all_cells, workdir, how=TOGETHER.value, jobs=JOBS.value)
    rows = processes.rows(all_cells, outcomes)
    replace_text(epath.Path(workdir / scheduler.RESULTS), tables.to_csv(rows))
    columns = ["seconds_per_step", *processes.metric_names(rows, all_cells[0].labels)]
    print(tables.to_markdown(rows, by=list(settings), columns=columns))
    return 0 if all(outcome.status == "done" for outcome in outcomes) else 1


def main(argv: list[str]) -> int:
    """Runs the command line; returns the exit status: 0 if all runs are done, 1 if one is not."""
    return scheduler.call(_run, argv)


if __name__ == "__main__":
    app.run(main, flags_parser=flag_errors.parse_or_exit)
