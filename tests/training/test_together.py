"""Several processes begin from the same facts."""

import json

import jax
import numpy as np
import pytest

from buresgan_jax.errors import UserError
from buresgan_jax.training import together


def test_facts_of_one_process_agree():
    together.agree({"a": 1})


def test_differences_are_named_with_both_values():
    first = {"config.seed": 0, "config.batch_size": 64, "same": [1, 2]}
    with pytest.raises(UserError) as error:
        together.check_equal([first, first, {**first, "config.seed": 3, "new": None, "config.batch_size": 32}])
    expected = "Processes 0 and 2 do not train the same run; they differ in config.batch_size (64 and 32), "
    assert str(error.value).startswith(f"{expected}config.seed (0 and 3). Start all of them with the same command")


def test_only_the_first_differences_are_named():
    with pytest.raises(UserError, match=r"e \(4 and None\) and 2 more. Start"):
        together.check_equal([{name: number for number, name in enumerate("abcdefg")}, {}])


def test_texts_of_different_lengths_are_gathered_whole(monkeypatch):
    """The gathering is played; the second process has a longer text."""
    mine, other = {"a": "ä"}, {"a": "longer"}
    texts = [json.dumps(each, sort_keys=True).encode() for each in (mine, other)]

    def process_allgather(array):
        if array.ndim == 0:
            return np.array([len(text) for text in texts])
        return np.stack([array, np.frombuffer(texts[1].ljust(len(array), b"\0"), np.uint8)])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(together.multihost_utils, "process_allgather", process_allgather)
    with pytest.raises(UserError, match=r"they differ in a \('ä' and 'longer'\)"):
        together.agree(mine)
