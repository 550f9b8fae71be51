"""The benchmark of MMD-GANs. No test depends on times."""

import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import mmd  # noqa: E402


@pytest.mark.slow
def test_a_step_is_made_and_a_peak_is_measured():
    _, argument, settings = mmd.ROWS[-1]
    state, metrics = mmd.make_step(argument, settings, batch_size=4, base_filters=2)()
    assert state.step == 1
    assert np.isfinite(metrics["discriminator_loss"])
    assert mmd.peak_of_mmd(64, 4, with_gradient=True) >= 0
