"""Every method makes the updates that were recorded, in float64: no refactoring may change a number."""

import json

import numpy as np
import pytest
from golden import updates

GOLDEN = json.loads(updates.FILE.read_text())


# On images, those with operations that the others do not have.
FAST = ("bures mnist", "mdgan_v2 mnist")
CASES = [
    pytest.param(case, marks=[pytest.mark.slow] if "mnist" in case and case not in FAST else []) for case in GOLDEN
]


def test_every_method_is_recorded():
    assert set(GOLDEN) == {f"{method} {data}" for method, data in updates.cases()}


@pytest.mark.parametrize("case", CASES)
def test_updates_are_the_recorded_ones(case, x64):
    found = updates.summaries(*case.split())
    assert found.keys() == GOLDEN[case].keys()
    for name, expected in GOLDEN[case].items():
        scale = max(1.0, abs(expected[1]))
        np.testing.assert_allclose(found[name], expected, rtol=1e-10, atol=1e-10 * scale, err_msg=name)
