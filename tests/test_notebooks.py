"""The notebooks run from top to bottom as they stand."""

import json
import pathlib

import jax
import matplotlib
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch, capsys):
    matplotlib.use("Agg")
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    namespace = {"__name__": "__main__"}
    with jax.numpy_rank_promotion("allow"):  # JAX's default, as readers have it
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{path.name}:{number}", "exec"), namespace)
    assert "nan" not in capsys.readouterr().out
