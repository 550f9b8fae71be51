"""The benchmark of the embedding. No test depends on times."""

import os
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import embedding  # noqa: E402


def test_its_images_are_those_of_the_number_asked_for():
    images = embedding.images(20)
    assert (images.shape, images.dtype) == ((20, 32, 32, 3), np.float32)
    assert np.abs(images).max() <= 1
    np.testing.assert_array_equal(images, embedding.images(20))


@pytest.mark.slow
def test_each_number_of_images_has_a_row():
    lines = embedding.table((64, 100), ("l1",), sorted(os.sched_getaffinity(0)))
    assert [line.split(" | ")[:3] for line in lines[2:]] == [["| 64", "l1", "30"], ["| 100", "l1", "35"]]
