"""A run as it was opened: what the layouts on the devices and the recorder take from it."""

import dataclasses
from typing import Any

import jax
from etils import epath

from buresgan_jax import data
from buresgan_jax.algorithms import Algorithm, GANState
from buresgan_jax.evaluation.evaluators import Evaluator
from buresgan_jax.training import devices


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """A run before its first step. What it writes from then on is the `Recorder`'s.

    Attributes:
        config: The resolved config.
        workdir: The run's directory.
        description: What is known of the data.
        num_examples: Number of training examples; None: endless.
        algorithm: The algorithm, built for one device.
        feed: The training data. Whoever has taken them to the devices drops the run, and the host's memory is free.
        key: The key from which the key of every step comes.
        start: The step at which training begins.
        state: The state at that step.
        tracker: The metrics since the last log before that step.
        evaluators: Evaluators of samples; none on processes that do not write.
        is_writer: Whether this process writes (process 0 does).
    """

    config: Any
    workdir: epath.Path
    description: data.Description
    num_examples: int | None
    algorithm: Algorithm
    feed: data.Feed
    key: jax.Array
    start: int
    state: GANState
    tracker: devices.Tracker
    evaluators: tuple[Evaluator, ...]
    is_writer: bool
