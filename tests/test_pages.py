"""The README and the pages of docs/: their links, keys and Python examples are true."""

import re

import helpers
import jax
import pytest

from buresgan_jax.config import reference

PAGES = sorted([*helpers.ROOT.glob("*.md"), *helpers.ROOT.glob("docs/**/*.md")])
TEXTS = [*PAGES, *helpers.ROOT.glob("configs/**/*.py")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(helpers.ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        file = page.parent / path if path else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.M) if heading else []
        assert not heading or heading in [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(helpers.ROOT)))
def test_keys_on_command_lines_exist(page):
    keys = re.findall(r"--(?:config\.|grid=)(\w+(?:\.\w+)+)=", page.read_text(encoding="utf-8"))
    for key in set(keys) - {
        "ball.radius",
        "loss.sharpness",
        "loss.right",
        "GROUP.KEY",
    }:  # the user's own ones, and a placeholder
        assert reference.describe(key).startswith(f"config.{key} ="), key


@pytest.mark.parametrize("name", ["README.md", "docs/metrics.md"])
def test_python_examples_run(name, capsys, tmp_path, monkeypatch):
    helpers.save_random_run(tmp_path / "runs" / "ring", helpers.load_config("ring", "bures,smoke"), steps=(1,))
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    with jax.numpy_rank_promotion("allow"):  # JAX's default, as readers have it
        for block in re.findall(r"```python\n(.*?)```", (helpers.ROOT / name).read_text(encoding="utf-8"), flags=re.S):
            exec(compile(block, name, "exec"), namespace)
    assert "nan" not in capsys.readouterr().out


def test_the_numbers_beside_the_examples_of_divergences_are_printed(capsys):
    page = (helpers.ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    values, others = re.findall(r"```python\n(.*?)```", page, flags=re.S)[:2]
    with jax.numpy_rank_promotion("allow"):
        namespace = {}
        exec(compile(values, "values", "exec"), namespace)
        assert capsys.readouterr().out.splitlines() == re.findall(r"^show\(.*  # (.*)$", values, flags=re.M)
        exec(compile(others, "others", "exec"), namespace)
    for name, made in zip(re.findall(r"# .*?(\w+)$", others, flags=re.M), namespace["made"], strict=True):
        if name in namespace["DIVERGENCES"]:
            assert made.tails == namespace["DIVERGENCES"][name].tails


def test_the_readme_is_short():
    assert len((helpers.ROOT / "README.md").read_text(encoding="utf-8").split()) <= 700
