"""The notebooks run from top to bottom, those that train with fewer steps; as they stand in the slow tests."""

import json
import pathlib

import jax
import matplotlib
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


# Lines that train, and what keeps them short.
SHORTER = {
    "02_latents_with_geometry": ("num_steps = 4000\n", "num_steps = 20\n"),
    "03_what_gans_minimize": ("num_steps = 3000\n", "num_steps = 20\n"),
}


def run(path, monkeypatch, old="", new=""):
    """Runs the cells with one line changed."""
    matplotlib.use("Agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) if cell["cell_type"] == "code" else "" for cell in cells]
    assert any(old in source for source in sources)
    namespace = {"__name__": "__main__"}
    with jax.numpy_rank_promotion("allow"):  # JAX's default, as readers have it
        for number, source in enumerate(sources):
            exec(compile(source.replace(old, new) if old else source, f"{path.name}:{number}", "exec"), namespace)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch, capsys):
    run(path, monkeypatch, *SHORTER.get(path.stem, ()))
    assert "nan" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem in SHORTER], ids=lambda path: path.stem)
def test_notebook_trains_as_it_stands(path, monkeypatch, capsys):
    monkeypatch.delenv("XLA_FLAGS")  # the tests' flags leave programs slow
    run(path, monkeypatch)
    assert "nan" not in capsys.readouterr().out
