"""`python -m buresgan_jax.main`: train, evaluate, sample. Flags only; the work is in `train` and `evaluate`."""

import json
import signal
import sys

import jax
from absl import app, flags, logging

from buresgan_jax import blas, compilation_cache, evaluate, flag_errors, train, xla
from buresgan_jax.command_flags import CONFIG, WORKDIR
from buresgan_jax.errors import UserError

flags.declare_key_flag("config")  # so that --help shows them
flags.declare_key_flag("workdir")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "sample"], "What to do; all but train need no config.")
_OUT = flags.DEFINE_string("out", "samples.png", "sample: x.png, x.npz, or a folder for one PNG per image.")
_NUM_SAMPLES = flags.DEFINE_integer(
    "num_samples", None, "sample: how many (64); evaluate: of how many (as in the config).", lower_bound=1
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", "newest", "sample, evaluate: newest, best, or a step; evaluate: all.")
_METRICS = flags.DEFINE_string("metrics", None, "evaluate: metrics of images, with commas between them.")
_EXTRACTOR = flags.DEFINE_string("extractor", None, "evaluate: of the features that metrics of images are made from.")
_NUM_REAL = flags.DEFINE_integer("num_real", None, "evaluate: images of the data set; default: all.", lower_bound=1)
_SUBSET_SIZE = flags.DEFINE_integer("subset_size", None, "evaluate: of kernel_distance.", lower_bound=2)
_WEIGHTS = flags.DEFINE_string("weights", None, "evaluate: the extractor's file of weights.")
_SEED = flags.DEFINE_integer("seed", 0, "sample, evaluate: of the latent draws (training: config.seed).")
_EMA = flags.DEFINE_bool("ema", True, "sample: the averaged generator, or (--noema) the raw one.")
_BLAS_THREADS = flags.DEFINE_integer("blas_threads", 1, "OpenBLAS threads of small matrices on a CPU.", lower_bound=1)
_PROFILE = flags.DEFINE_bool("profile", False, "train: trace a few calls, into WORKDIR/profile, for TensorBoard.")
_CACHE = flags.DEFINE_bool("compilation_cache", True, "Keep compiled programs for the next start.")
_CACHE_DIR = flags.DEFINE_string("compilation_cache_dir", None, "Where; default: buresgan_jax in the user's caches.")
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Join a cluster that jax.distributed recognises by itself.")
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "Host:port of process 0, where it does not.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes, with --coordinator_address.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Of this process, with --coordinator_address.")


def main(argv: list[str]) -> int:
    """Does what the flags say; returns the exit status."""
    logging.set_verbosity(logging.WARNING)
    blas.limit_threads(_BLAS_THREADS.value)
    xla.choose_cpu_kernels()
    try:
        _run(argv)
    except UserError as error:
        return _fail(str(error))
    except train.DivergedError as error:
        return _fail(f"Training diverged at {error}", status=1)
    except OSError as error:  # such as a full disk
        return _fail(f"Cannot read or write: {error}. The same command goes on from the last checkpoint.", status=1)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "Interrupted.", status=128 + getattr(error, "signal_number", signal.SIGINT))
    return 0


def _run(argv):
    if argv[1:]:
        raise UserError(f"Unexpected arguments: {' '.join(argv[1:])}. Options are written --name=value.")
    if WORKDIR.value is None:
        raise UserError("--workdir is missing. Give a folder for the run, such as --workdir=runs/ring.")
    if _MODE.value == "train" and CONFIG.value is None:
        raise UserError("--config is missing. Give a config file, such as --config=configs/ring.py.")
    _join_cluster()
    if _CACHE.value:
        compilation_cache.enable(_CACHE_DIR.value)
    if _MODE.value == "train":
        train.train_and_evaluate(CONFIG.value, WORKDIR.value, profile=_PROFILE.value)
    elif _MODE.value == "evaluate":
        changed = (_METRICS, _EXTRACTOR, _WEIGHTS, _NUM_SAMPLES, _NUM_REAL, _SUBSET_SIZE)
        changes = {flag.name: flag.value for flag in changed if flag.value is not None}
        options = {"seed": _SEED.value, "checkpoint": _CHECKPOINT.value, "changes": changes}
        for values in evaluate.run_evaluation(WORKDIR.value, **options):
            print(json.dumps(values), flush=True)
    else:
        num_samples = _NUM_SAMPLES.value or 64
        options = {"seed": _SEED.value, "ema": _EMA.value, "checkpoint": _CHECKPOINT.value}
        evaluate.run_sampling(WORKDIR.value, _OUT.value, num_samples=num_samples, **options)
        print(f"Wrote {num_samples} samples to {_OUT.value}.")


def _join_cluster():
    where = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if any(value is not None for value in where) and None in where:
        raise UserError("Give --coordinator_address, --num_processes and --process_id together, or none of them.")
    if not _DISTRIBUTED.value and None in where:
        return
    try:
        jax.distributed.initialize(*where)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"Cannot join the other processes: {error}") from error


def _fail(message, status=2):
    print(" ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    app.run(main, flags_parser=flag_errors.parse_or_exit)
