"""The shape of the package: what may import what, and what importing it loads."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "buresgan_jax"

# What each module may import from the package. Importing goes from the command line down to linear algebra.
MAY_IMPORT = {
    "checks": {"errors"},
    "errors": set(),
    "blas": set(),
    "signals": set(),
    "xla": set(),
    "accelerators": {"errors"},
    "malloc": {"accelerators"},
    "process": {"blas", "malloc", "xla"},
    "user_cache": set(),
    "compilation_cache": {"user_cache"},
    "config": {"errors"},
    "linalg": {"checks"},
    "newton_schulz": {"linalg"},
    "alignment": {"linalg", "newton_schulz"},
    "geometry": {"alignment", "checks", "linalg"},
    "distances": {"alignment", "checks", "geometry", "linalg", "newton_schulz"},
    "validate": {"checks"},
    "losses": set(),
    "penalties": {"distances", "linalg"},
    "threefry": set(),
    "latents": {"threefry"},
    "networks": set(),
    "metrics": {"checks", "linalg", "distances"},
    "features": {"data", "errors", "metrics", "networks", "user_cache"},
    "metrics/__main__": {"build", "compilation_cache", "data", "errors", "image_metrics", "process"},
    "statistics_cache": {"user_cache"},
    "image_summaries": {"__version__", "features", "metrics", "statistics_cache"},
    "image_metrics": {"features", "image_summaries", "metrics", "tables"},
    "pictures": {"data"},
    "cores": set(),
    "data": {"cores", "errors"},
    "prepare": {"data", "errors"},
    "cluster": {"errors"},
    "evaluation_flags": set(),
    "algorithms": {"losses", "penalties", "latents", "networks"},
    "checkpoint": {"errors"},
    "judge_weights": {"errors", "networks"},
    "judge": {"__version__", "compilation_cache", "data", "errors", "judge_weights", "networks", "process"},
    "build": {"algorithms", "config", "data", "errors", "features", "image_metrics", "image_summaries", "judge"}
    | {"latents", "losses", "metrics", "networks", "penalties", "statistics_cache"},
    "writers": {"config", "errors"},
    "evaluate": {"best_checkpoint", "build", "checkpoint", "errors", "image_metrics", "pictures", "writers"},
    "devices": {"algorithms", "data", "errors"},
    "best_checkpoint": {"checkpoint", "errors", "writers"},
    "run": {"best_checkpoint", "build", "checkpoint", "config", "data", "devices", "errors", "evaluate", "writers"},
    "parallel": {"build", "data", "devices", "run", "signals"},
    "train": {"algorithms", "devices", "errors", "parallel", "run", "signals", "writers"},
    "flag_errors": {"errors"},
    "command_flags": set(),
    "tables": set(),
    "cells": {"accelerators", "cores", "errors", "signals", "tables", "writers"},
    "together": {
        "build",
        "cells",
        "command_flags",
        "compilation_cache",
        "config",
        "errors",
        "parallel",
        "process",
        "run",
        "signals",
        "train",
    },
    "sweep": {"cells", "command_flags", "config", "errors", "flag_errors", "tables", "together"},
    "benchmark": {
        "build",
        "cells",
        "command_flags",
        "config",
        "errors",
        "evaluate",
        "flag_errors",
        "pictures",
        "sweep",
        "tables",
        "together",
    },
    "main": {
        "cluster",
        "command_flags",
        "compilation_cache",
        "config",
        "errors",
        "evaluate",
        "evaluation_flags",
        "flag_errors",
    }
    | {"process", "train"},
    "__init__": {"distances", "geometry", "linalg", "validate"},
}


def imported_modules(file):
    """Top-level modules of the package that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith("buresgan_jax."):
                yield name.split(".")[1]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file):
    path = file.relative_to(PACKAGE)
    module = path.parts[0].removesuffix(".py")
    allowed = MAY_IMPORT["/".join(path.parts).removesuffix(".py") if path.name == "__main__.py" else module]
    assert set(imported_modules(file)) - {module} <= allowed


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
