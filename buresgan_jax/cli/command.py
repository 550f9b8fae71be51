"""The command `buresgan`: `buresgan train --config=ring` is `python -m buresgan_jax.main --config=ring`."""

import runpy
import sys

from buresgan_jax import __version__
from buresgan_jax.errors import did_you_mean

# Module, its first arguments, meaning.
COMMANDS = {
    "train": ("main", [], "trains a config, or resumes: --config=ring --workdir=runs/ring"),
    "sample": ("main", ["--mode=sample"], "writes samples of a run: --workdir=runs/ring --out=samples.png"),
    "evaluate": ("main", ["--mode=evaluate"], "computes the metrics of a run: --workdir=runs/ring"),
    "sweep": ("sweep", [], "trains a config with many seeds and settings"),
    "suite": ("suite", [], "trains methods x data sets x seeds: --config=suites/synthetic --workdir=runs/synthetic"),
    "metrics": ("metrics", [], "compares two sets of images: --real=FOLDER --fake=samples.npz --metrics=fid"),
    "divergences": ("divergences", [], "shows f-divergences in a table and a picture: --out=divergences.png"),
    "prepare": ("prepare", [], "downloads and prepares a data set: cifar10"),
    "train_classifier": ("train_classifier", [], "trains the classifier of stacked MNIST or of joined sets"),
    "list": ("main", ["--list"], "lists methods, data sets, keys and other choices: keys, or bures.weight"),
}


def main() -> int:
    """Runs the program that the first argument names, as `python -m` would.

    Returns:
        The exit status, if no program was run: 0, or 2 for a wrong name. A program exits by itself.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("--help", "-help", "-h", "help"):
        lines = [f"  {each:17} {meaning}" for each, (_, _, meaning) in COMMANDS.items()]
        print("\n".join(["usage: buresgan COMMAND [OPTIONS]", "", *lines, "", "buresgan COMMAND --help: its options"]))
        return 0
    if name == "--version":
        print(__version__)
        return 0
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS, "buresgan --help lists all.")
        print(f"There is no command {name!r}.{hint}", file=sys.stderr)
        return 2
    module, first, _ = COMMANDS[name]
    if name == "list" and arguments and not arguments[0].startswith("-"):
        first, arguments = [f"--list={arguments[0]}"], arguments[1:]
    sys.argv[1:] = [*first, *arguments]
    sys.path.insert(0, "")  # as `python -m` does, for the user's own parts
    runpy.run_module(f"buresgan_jax.{module}", run_name="__main__", alter_sys=True)
    return 0
