"""The structure of the package: allowed imports, and the modules that importing it loads."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "buresgan_jax"

# From the programs down to the errors: a module imports from its own layer's folder and from layers below.
LAYERS = (
    ("sweep", "suite", "configs"),
    ("main", "launch"),
    ("training",),
    ("builders",),
    ("config",),
    ("train_classifier", "prepare"),
    ("evaluation",),
    ("extractors",),
    ("metrics", "algorithms", "data"),
    ("penalties",),
    ("networks", "latents", "losses"),
    ("divergences",),
    ("distances", "ops"),
    ("cli",),
    ("runtime",),
    ("declarations",),
    ("errors",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}


def imported_modules(file):
    """Modules and folders of the package that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("buresgan_jax."))


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file):
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own != "__init__" and file.name != "__main__.py":
        others = set(imported_modules(file)) - {own, "__version__"}
        assert all(LAYER[other] > LAYER[own] for other in others), others


def test_nothing_imports_private_parts_of_jax_or_tensorflow_outside_prepare():
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "jax._src" not in text, file
        assert "import tensorflow\n" not in text or file.name == "prepare.py", file


def test_importing_the_package_loads_neither_flax_nor_tensorflow_and_changes_no_setting():
    code = """
import sys, os, jax
environment, settings = dict(os.environ), dict(jax.config.values)
import buresgan_jax
loaded = {"flax", "tensorflow", "tensorflow_datasets", "orbax", "optax"} & {name.split(".")[0] for name in sys.modules}
assert not loaded, loaded
assert dict(os.environ) == environment and dict(jax.config.values) == settings
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
