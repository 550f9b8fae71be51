"""Fixtures of pictures."""

import pytest

from buresgan_jax.evaluation import pictures


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, none of which cuts anything off."""
    figures = []

    class Canvas(pictures.FigureCanvasAgg):
        def print_png(self, file):
            super().print_png(file)
            figures.append(self.figure)
            box, size = self.figure.get_tightbbox(), self.figure.get_size_inches()
            assert (box.min >= 0).all(), box
            assert (box.max <= size).all(), (box, size)

    monkeypatch.setattr(pictures, "FigureCanvasAgg", Canvas)
    return figures
