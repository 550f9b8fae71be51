"""Opening of a run: its data, its workdir, and the state at which it begins."""

import contextlib
import functools
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from etils import epath

from buresgan_jax import __version__, builders, data
from buresgan_jax import config as config_lib
from buresgan_jax.evaluation.evaluators import best_choice
from buresgan_jax.runtime.signals import StopSignals
from buresgan_jax.training import best_checkpoint, devices, memory
from buresgan_jax.training.checkpoint import Checkpointer
from buresgan_jax.training.data_record import FILE as DATA
from buresgan_jax.training.data_record import check_data, save_data
from buresgan_jax.training.preparation import FILE, prepared_arrays
from buresgan_jax.training.recorder import Recorder
from buresgan_jax.training.run import OpenedRun
from buresgan_jax.training.together import agree, raised_together
from buresgan_jax.training.workdir import check_same_run, forget_results, lock_workdir, open_workdir, save_config

_LOCAL = ("data.path", "data.data_dir", "evaluation.classifier", "evaluation.weights")  # each host may have its own


def open_data(config) -> tuple[data.Source, str | None]:
    """Opens the training data; returns them with `builders.data_fingerprint`, for which all files are looked at."""
    return builders.source(config), builders.data_fingerprint(config)


def open_run(
    config,
    workdir: epath.PathLike,
    signals: StopSignals,
    *,
    rows: slice,
    open_data: Callable[[Any], tuple[data.Source, str | None]] = open_data,
    data_copies: int = 1,
) -> tuple[OpenedRun, Recorder]:
    """Opens the data and the workdir, and restores the newest checkpoint or makes a new state.

    Args:
        config: The resolved config.
        workdir: The run's directory.
        signals: Signals that may come while the data are opened.
        rows: This process's part of every global batch.
        open_data: A function like `open_data` of this module; runs side by side may share what it returns.
        data_copies: How many resident data sets share a device, this run's among them.

    Returns:
        The run, and its recorder, which holds the lock on the workdir until it is closed.

    Raises:
        UserError: The config, the data or the workdir are wrong, or another process trains there.
    """
    is_writer, algorithm, key = jax.process_index() == 0, builders.algorithm(config), jax.random.key(config.seed)
    evaluators, best = (), {}
    with contextlib.ExitStack() as stack:
        with raised_together():
            memory.check_config(config, algorithm)
            workdir = open_workdir(config, workdir, write=is_writer)
            # Before the workdir is bound to this config: a data set that is not there is the commonest mistake.
            with signals.interruptible():
                source, fingerprint = open_data(config)
            if is_writer:
                on_batch = signals.stop_before_first_step
                evaluators = builders.evaluators(config, source, workdir=workdir, on_batch=on_batch, strict=True)
                best = _best_choice(config, evaluators)
            with signals.interruptible():
                feed = _make_feed(config, source, algorithm, rows, devices.data_memory(data_copies))
            lock = stack.enter_context(lock_workdir(workdir) if is_writer else contextlib.ExitStack())
        checkpointer = stack.enter_context(contextlib.closing(_checkpointer(config, workdir)))
        _agree_on_files(fingerprint, source, checkpointer)
        description = builders.describe(config)
        start, state, tracker = _restore(config, algorithm, description.example_shape, checkpointer)
        if state is None:
            with signals.interruptible():
                prepared = _prepare(config, algorithm, source, fingerprint, workdir, is_writer)
            state = _init(algorithm, description.example_shape, key, prepared)
        with raised_together():
            _bind(config, workdir, fingerprint, start, is_writer)
        begun = (start, state, tracker, evaluators, is_writer)
        opened = OpenedRun(config, workdir, description, source.num_examples, algorithm, feed, key, *begun)
        recorder = Recorder(opened, checkpointer, lock, best)
        stack.pop_all()  # the recorder closes these
        stack.callback(recorder.close)
        with raised_together():
            if start == 0:
                recorder.draw_real(source)
        stack.pop_all()  # from now on the caller's
    return opened, recorder


def _checkpointer(config, workdir):
    options = config.training
    return Checkpointer(workdir, keep=options.keep_checkpoints, keep_every_steps=options.keep_every_steps)


def _bind(config, workdir, fingerprint, start, is_writer):
    """Binds the workdir to the config and the data of a new run, or compares these with a resumed run's."""
    if start:
        check_data(config, workdir, fingerprint, check_same_run(config, workdir))
    elif is_writer:  # results that lie here are another run's
        forget_results(workdir, best_checkpoint.RECORD, DATA)
    if is_writer:
        save_data(fingerprint, workdir)
        save_config(config, workdir)


def agree_on_config(config) -> None:
    """Checks that all processes have the same config, but for paths, and the same versions.

    Raises:
        UserError: They differ; raised in all processes.
    """
    facts = {f"config.{key}": value for key, value in config_lib.flatten(json.loads(config.to_json())).items()}
    for key in _LOCAL:
        facts.pop(f"config.{key}", None)
    agree({**facts, "the version of jax": jax.__version__, "the version of buresgan_jax": __version__})


def _agree_on_files(fingerprint, source, checkpointer):
    if jax.process_count() > 1:
        facts = [source.num_examples, fingerprint]
        agree({"the data": facts, "the workdir's checkpoints": checkpointer.steps()})


def _best_choice(config, evaluators):
    best_by, num_samples = config.evaluation.best_by, config.evaluation.num_samples
    return {} if best_by is None else best_choice(evaluators, best_by, num_samples)


def _make_feed(config, source, algorithm, rows, memory):
    batch_size = config.training.batch_size
    feed = data.make_feed(
        source,
        resident=config.data.resident,
        memory=memory,
        seed=config.seed,
        batch_size=batch_size,
        batches_per_update=algorithm.batches_per_update,
        rows=rows,
    )
    if source.num_examples is not None:
        builders.check_batch_size(config, jax.device_count(), source.num_examples)
    return feed


def _restore(config, algorithm, example_shape, checkpointer):
    """Returns the step at which training begins, the state (None: there is no checkpoint), and the tracker."""
    like = devices.state_like(algorithm, example_shape)
    batch = devices.batch_like(algorithm, config.training.batch_size, example_shape)
    memory.check_state(config, like)
    tracker, program = devices.trace_update(algorithm, like, batch)
    memory.check_step(config, like, program)
    restored = checkpointer.restore({"state": like, "tracker": tracker})
    if restored is None:
        return 0, None, tracker
    step, items = restored
    return step, items["state"], items["tracker"]


def _prepare(config, algorithm, source, fingerprint, workdir, is_writer):
    """What the algorithm makes of the data before its first step."""
    free = config_lib.free_keys(config)
    facts = {key: value for key, value in config_lib.flatten(json.loads(config.to_json())).items() if key not in free}
    facts["data"] = fingerprint
    compute = functools.partial(algorithm.prepare, source, config.seed)
    return prepared_arrays(algorithm.prepared_like, compute, workdir / FILE, facts, is_writer=is_writer)


def _init(algorithm, example_shape, key, prepared):
    example = np.zeros(example_shape, np.float32)
    init_key = jax.random.fold_in(key, 2**31 - 1)  # apart from every step's key
    return jax.jit(algorithm.init)(init_key, example, prepared)
