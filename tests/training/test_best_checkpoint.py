"""The best checkpoint: the choice of its metric, restarts, and runs killed at any moment."""

import contextlib
import json
from typing import NamedTuple

import numpy as np
import pytest

from buresgan_jax.errors import UserError
from buresgan_jax.training import best_checkpoint
from buresgan_jax.training.best_checkpoint import BestCheckpoint
from buresgan_jax.training.checkpoint import Checkpointer


class State(NamedTuple):
    step: np.ndarray
    params: np.ndarray


def state_of(step):
    return State(np.asarray(step), np.full(3, step, np.float32))


def kept(workdir):
    """The steps that are there, and what the one that the record names holds."""
    with contextlib.closing(Checkpointer(workdir, folder=best_checkpoint.FOLDER, read_only=True)) as checkpointer:
        step = best_checkpoint.best_step(workdir)
        items = checkpointer.restore_step(step, {"state": state_of(0)})
        np.testing.assert_array_equal(items["state"].params, step)
        return checkpointer.steps(), step


def offer(workdir, values, *, by="kid", larger_is_better=False, num_samples=50):
    """`{step: value}` to one process's life."""
    best = BestCheckpoint(workdir, by, larger_is_better=larger_is_better, made_by={"num_samples": num_samples})
    with contextlib.closing(best):
        for step, value in values.items():
            best.offer(step, {} if value is None else {by: value}, state_of(step))


def test_the_best_is_kept_over_restarts_and_nothing_else(tmp_path):
    offer(tmp_path, {1: 5.0, 2: 3.0, 3: 4.0, 4: np.nan, 5: None})
    assert kept(tmp_path) == ([2], 2)
    offer(tmp_path, {2: 3.0, 3: 4.0, 6: 3.0})
    assert kept(tmp_path) == ([2], 2)
    offer(tmp_path, {7: -1.0})
    assert kept(tmp_path) == ([7], 7)
    (tmp_path / "best.json").write_text(json.dumps({"step": 7, "by": "kid", "value": -1.0}))  # of an earlier version
    offer(tmp_path, {8: 5.0})
    assert kept(tmp_path) == ([7], 7)
    offer(tmp_path, {9: -2.0})
    record = json.loads((tmp_path / "best.json").read_text())
    assert record == {"step": 9, "value": -2.0, "by": "kid", "num_samples": 50}


def test_larger_can_be_better_and_a_metric_made_otherwise_begins_anew(tmp_path):
    offer(tmp_path, {1: 5.0, 2: 3.0, 3: 7.0}, larger_is_better=True)
    assert kept(tmp_path) == ([3], 3)
    offer(tmp_path, {4: 9.0}, by="modes", larger_is_better=True)
    assert kept(tmp_path) == ([4], 4)
    offer(tmp_path, {5: 1.0}, by="modes", larger_is_better=True, num_samples=100)
    assert kept(tmp_path) == ([5], 5)


def test_a_best_checkpoint_under_the_number_of_another_step_is_refused(tmp_path):
    offer(tmp_path, {2: 3.0})
    (tmp_path / "best_checkpoint" / "2").rename(tmp_path / "best_checkpoint" / "9")
    record = json.loads((tmp_path / "best.json").read_text())
    (tmp_path / "best.json").write_text(json.dumps(record | {"step": 9}))
    with pytest.raises(UserError, match=r"Checkpoint 9 in .* cannot be restored \(ValueError: it holds step 2\)"):
        kept(tmp_path)
    for value in ("low", None, [1]):
        (tmp_path / "best.json").write_text(json.dumps(record | {"step": 9, "value": value}))
        offer(tmp_path, {10: 5.0})  # the record does not count
        assert kept(tmp_path)[1] == 10


@pytest.mark.parametrize("moment", ["record", "cleaning"])
def test_a_kill_leaves_a_record_and_its_checkpoint(tmp_path, monkeypatch, moment):
    offer(tmp_path, {1: 5.0})

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((best_checkpoint, "replace_text") if moment == "record" else (Checkpointer, "keep_only")), kill)
        with pytest.raises(KeyboardInterrupt):
            offer(tmp_path, {3: 2.0})
    assert kept(tmp_path) == ([1, 3], 1 if moment == "record" else 3)
    offer(tmp_path, {2: 4.0, 3: 2.0})  # computed again, from a checkpoint before
    assert kept(tmp_path)[1] == 3


def test_a_workdir_without_a_best_checkpoint_is_told(tmp_path):
    with pytest.raises(UserError, match=r"has no best checkpoint: best.json is missing or damaged. Train with"):
        best_checkpoint.best_step(tmp_path)
    (tmp_path / "best.json").write_text("[]")
    with pytest.raises(UserError, match="has no best checkpoint"):
        best_checkpoint.best_step(tmp_path)
    offer(tmp_path, {1: 5.0})
    assert kept(tmp_path) == ([1], 1)
