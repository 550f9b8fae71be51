"""The benchmark of the swings: that it trains as a run does, and that its tables count what they say."""

import argparse
import pathlib
import sys

import jax
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import swing  # noqa: E402
import swing_tables  # noqa: E402


def test_a_swing_begins_where_the_share_falls_after_a_quiet_time():
    near = np.full(100, 0.85)
    near[[3, 40, 42, 80]] = 0.5  # 3 is too early, 42 too soon after 40
    found = swing_tables.summarize(near, every=1)
    assert found["swings"] == 2
    assert (found["least"], found["low"]) == (0.5, 0.04)
    records = [{"near": near, "step": np.ones(100)}]
    assert swing_tables.around_swings(records, (-1, 0)) == {"near": [1.0, 0.5 / 0.85], "step": [1.0, 1.0]}


def test_every_setting_is_a_valid_config():
    for terms, keys in swing.SETTINGS.values():
        swing.open_run(terms, keys, small=True)


@pytest.fixture(scope="module")
def states():
    return swing.start_states((0,), 4, None, small=True)


def test_the_measured_step_is_the_step_that_training_takes(states):
    run = swing.open_run("", {}, small=True)
    measured, records = swing.continued(swing.make_continue(run, 1, True), run, 0, states[0], 3, 1)
    plain, few = swing.continued(swing.make_continue(run, 3, False), run, 0, states[0], 3, 3)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), measured, plain)
    assert records["near"].shape == (3,)
    assert few["near"].shape == (1,)
    assert all(np.isfinite(values).all() for values in records.values())
    # The two parts of the generator's gradient cannot be shorter than the whole.
    assert (records["bures_gradient"] + records["adversarial_gradient"] >= 0.999 * records["generator_gradient"]).all()


def test_a_setting_has_a_row_for_each_seed(states):
    options = argparse.Namespace(steps=6, settle=2, every=2)
    rows = list(swing.setting_rows("generator's learning rate x 0.3", states, options, small=True))
    assert [(row["seed"], row["steps"]) for row in rows] == [(0, 4)]
    lines = swing_tables.setting_table(rows)
    assert lines[-1].count("|") == lines[0].count("|")


def test_a_learning_rate_of_zero_leaves_the_generator_where_it_is(states):
    run = swing.open_run("", {"optimizer.generator_learning_rate": 0.0}, small=True)
    state = states[0].replace(hyperparameters=swing.first_state(run, 0).hyperparameters)
    _, records = swing.continued(swing.make_continue(run, 1, False), run, 0, state, 2, 1)
    np.testing.assert_array_equal(records["way"], 0)
