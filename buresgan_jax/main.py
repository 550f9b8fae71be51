"""`python -m buresgan_jax.main`: trains, evaluates and samples. Flags only; the work is in `training`."""

import json
import signal
import sys
import traceback

from absl import app, flags, logging
from ml_collections import config_flags

from buresgan_jax import config as config_lib
from buresgan_jax.cli import cluster, command_flags, evaluation_flags, flag_errors
from buresgan_jax.cli.command_flags import CACHE, CACHE_DIR, CONFIG, WORKDIR
from buresgan_jax.cli.evaluation_flags import CHECKPOINT, EMA, OUT, SEED
from buresgan_jax.config import reference
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import options as evaluation_options
from buresgan_jax.runtime import compilation_cache, memory, process, signals
from buresgan_jax.training import loop, saved_config, saved_run

evaluation_flags.define_changes(evaluation_options.OF_SAVED_RUNS)
for _name in ("config", "workdir", "compilation_cache", "compilation_cache_dir"):  # so that --help shows them
    flags.declare_key_flag(_name)
for _module in (evaluation_flags, cluster):
    flags.adopt_module_key_flags(_module)
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "sample"], "What to do; all but train need no config.")
_BLAS_THREADS = flags.DEFINE_integer("blas_threads", 1, "OpenBLAS threads of small matrices on a CPU.", 1, 1024)
_LIST = flags.DEFINE_string("list", None, "Print what there is to choose: --list, --list=keys, --list=bures.weight.")
_PROFILE = flags.DEFINE_bool("profile", False, "train: trace a few calls, into WORKDIR/profile, for TensorBoard.")


def parse(argv: list[str]) -> list[str]:
    """Parses the flags. A training without `--config` takes that of the run in its workdir."""
    try:
        argv = saved_config.arguments(argv)
    except UserError as error:
        sys.exit(_fail(str(error)))
    return flag_errors.parse_or_exit(argv)


def main(argv: list[str]) -> int:
    """Runs the chosen mode and returns the exit status."""
    logging.set_verbosity(logging.WARNING)
    process.tune_for_cpu(_BLAS_THREADS.value)
    process.quiet_libraries()
    try:
        _run(argv)
        sys.stdout.flush()  # here, where a reader that has gone away is no traceback
    except UserError as error:
        return cluster.leave(_fail(str(error)))
    except loop.DivergedError as error:
        return _fail(f"Training diverged at {error}", status=1)
    except OSError as error:  # such as a full disk
        is_training = _MODE.value == "train" and not _LIST.value
        if isinstance(error, BrokenPipeError) and not is_training:  # such as of `head`
            process.drop_output()
            return cluster.leave(1)
        hint = " Rerun the same command to resume." * is_training
        return cluster.leave(_fail(f"Cannot read or write: {error}.{hint}", status=1))
    except KeyboardInterrupt as error:
        return _fail(str(error) or "Interrupted.", status=128 + getattr(error, "signal_number", signal.SIGINT))
    except Exception as error:
        if message := memory.exhausted(error):
            return cluster.leave(_fail(message))
        if cluster.is_loss(error):
            return cluster.leave(_fail("Lost another process. Rerun the same command in all processes.", status=1))
        if not cluster.is_joined():
            raise
        traceback.print_exc()
        return cluster.leave(1)
    return 0


def _run(argv):
    if argv[1:]:
        raise UserError(f"Unexpected arguments: {' '.join(argv[1:])}. Options are written --name=value.")
    if _LIST.value:
        print(reference.describe(_LIST.value, CONFIG.value))
        return
    if WORKDIR.value is None:
        raise UserError("--workdir is missing. Give a folder for the run, such as --workdir=runs/ring.")
    if _MODE.value == "train" and CONFIG.value is None:
        raise UserError(
            "--config is missing. Give a config, such as --config=ring, or the --workdir of a run to resume it."
        )
    overrides = command_flags.overrides()
    if CONFIG.value is not None:
        config_lib.check_overrides(CONFIG.value, overrides)
    cluster.join()
    if CACHE.value:
        compilation_cache.enable(CACHE_DIR.value)
    if _MODE.value == "train":
        _train(overrides)
    else:
        _read_run(overrides)


def _train(overrides):
    for key, reason in config_lib.unread(CONFIG.value, overrides).items():
        logging.warning("--config.%s changes nothing: %s.", key, reason)
    if config_flags.get_config_filename(flags.FLAGS["config"]).startswith(f"{saved_config.__file__}:"):
        print(f"Taking the config of the run in {WORKDIR.value}.", file=sys.stderr, flush=True)
    loop.train_and_evaluate(CONFIG.value, WORKDIR.value, profile=_PROFILE.value)


def _read_run(overrides):
    """Evaluates or samples."""
    signals.interrupt_programs()
    changes = saved_run.changes_of_run(CONFIG.value, overrides, WORKDIR.value) if CONFIG.value else {}
    changes |= evaluation_flags.changes()
    is_evaluation = _MODE.value == "evaluate"
    for key in changes:
        if not key.startswith(("evaluation.", "data.") if is_evaluation else "evaluation.num_samples"):
            logging.warning("%s changes nothing in --mode=%s.", key, _MODE.value)
    options = {"seed": SEED.value, "checkpoint": CHECKPOINT.value}
    if is_evaluation:
        for values in saved_run.run_evaluation(WORKDIR.value, changes=changes, **options):
            print(json.dumps(values), flush=True)
    else:
        num_samples = changes.get("evaluation.num_samples", 64)
        saved_run.run_sampling(WORKDIR.value, OUT.value, num_samples=num_samples, ema=EMA.value, **options)
        print(f"Wrote {num_samples} samples to {OUT.value}.")


def _fail(message, status=2):
    print(" ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
