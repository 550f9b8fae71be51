"""`python -m buresgan_jax.main`: train, evaluate, sample. Flags only; the work is in `train` and `evaluate`."""

import json
import re
import sys

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from buresgan_jax import blas, evaluate, train
from buresgan_jax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "configs/NAME.py or configs/NAME.py:METHOD.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, metrics, pictures.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "sample"], "What to do; all but train need no config.")
_OUT = flags.DEFINE_string("out", "samples.png", "sample: x.png, x.npz, or a folder for one PNG per image.")
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 64, "sample: how many.")
_SEED = flags.DEFINE_integer("seed", 0, "sample, evaluate: of the latent draws (training: config.seed).")
_EMA = flags.DEFINE_bool("ema", True, "sample: the averaged generator, or (--noema) the raw one.")
_BLAS_THREADS = flags.DEFINE_integer("blas_threads", 1, "OpenBLAS threads of small decompositions on a CPU.")
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Join a cluster that jax.distributed recognises by itself.")
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "Host:port of process 0, where it does not.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes, with --coordinator_address.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Of this process, with --coordinator_address.")


def main(argv: list[str]) -> int:
    """Does what the flags say; returns the exit status."""
    if argv[1:]:
        return _fail(f"Unexpected arguments: {' '.join(argv[1:])}. Options are written --name=value.")
    logging.set_verbosity(logging.WARNING)
    blas.limit_threads(_BLAS_THREADS.value)
    if _DISTRIBUTED.value or _COORDINATOR.value:
        jax.distributed.initialize(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    try:
        _run()
    except UserError as error:
        return _fail(str(error))
    except train.DivergedError as error:
        return _fail(f"Training diverged at {error}", status=1)
    except train.StoppedError as error:
        return _fail(str(error), status=128 + error.signal_number)
    return 0


def _run():
    if _WORKDIR.value is None:
        raise UserError("--workdir is missing. Give a folder for the run, such as --workdir=runs/ring.")
    if _MODE.value == "evaluate":
        print(json.dumps(evaluate.run_evaluation(_WORKDIR.value, seed=_SEED.value)))
    elif _MODE.value == "sample":
        evaluate.run_sampling(
            _WORKDIR.value, _OUT.value, num_samples=_NUM_SAMPLES.value, seed=_SEED.value, ema=_EMA.value
        )
        print(f"Wrote {_NUM_SAMPLES.value} samples to {_OUT.value}.")
    elif _CONFIG.value is None:
        raise UserError("--config is missing. Give a config file, such as --config=configs/ring.py.")
    else:
        train.train_and_evaluate(_CONFIG.value, _WORKDIR.value)


def _fail(message, status=2):
    print(" ".join(message.split()), file=sys.stderr)
    return status


def parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, with one line and status 2 instead of a traceback."""
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
        text = re.sub(r"^'|'$|\"", "", str(error).replace("\\n", " "))
        sys.exit(_fail(text or type(error).__name__))


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
