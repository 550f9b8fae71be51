"""`python -m buresgan_jax.train_classifier`: trains a classifier of samples, and writes its file.

    python -m buresgan_jax.train_classifier --data=mnist --out=digit_classifier.npz
    python -m buresgan_jax.train_classifier --data=cifar10,fashion_mnist --out=set_classifier.npz

The first knows the digits of `stacked_mnist`. The second tells the sets of `joined` apart, and blends of two sets from
both. A run on these data trains one automatically at its first evaluation if the file `config.evaluation.classifier`
(by default one of these two names, in the workdir) does not exist yet.
"""

import json
import sys
from collections.abc import Sequence

from buresgan_jax.cli.arguments import Parser, whole_number
from buresgan_jax.cli.exit_status import exit_status
from buresgan_jax.declarations import MOST_SEED
from buresgan_jax.errors import UserError, split_names
from buresgan_jax.evaluation.classifier import save_classifier
from buresgan_jax.evaluation.classifier_training import train_on_joined, train_on_tfds
from buresgan_jax.runtime import compilation_cache
from buresgan_jax.runtime.paths import user_path

_DIGITS = (["mnist"], ["fashion_mnist"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Arguments without the program's name. Default: those of the process.

    Returns:
        Exit status: 0; 2 for an error that the user can fix, reported in one line on standard error; 1 if nobody
        reads the output any more; 130 for Ctrl-C.
    """
    parser = Parser(
        prog="python -m buresgan_jax.train_classifier",
        description="Trains the classifier of samples of stacked MNIST or of joined image sets.",
    )
    parser.add_argument(
        "--data",
        required=True,
        help="the prepared TFDS set, mnist or fashion_mnist; or two sets or more, with commas between them",
    )
    parser.add_argument("--out", required=True, help="the weights file to write, .npz")
    parser.add_argument("--data_dir", help="folder of the prepared set (default: TFDS's folder)")
    parser.add_argument("--split", help="split of several sets (default: train)")
    parser.add_argument("--channels", type=int, choices=[1, 3], help="channels of several sets (default: 3)")
    parser.add_argument("--image_size", type=whole_number(1, 32), help="pixels of several sets (default: 32, the most)")
    parser.add_argument(
        "--num_epochs", type=whole_number(1, 10_000), default=3, help="default: %(default)s, minutes on one CPU core"
    )
    parser.add_argument("--seed", type=whole_number(0, MOST_SEED), default=0, help="default: %(default)s")
    flags = parser.parse_args(arguments)
    return exit_status(lambda: _train(flags))


def _train(flags):
    if (out := user_path(flags.out, "--out")).is_dir():
        raise UserError(f"--out={out} is a folder. Give a file.")
    compilation_cache.enable()
    options = {"data_dir": flags.data_dir, "num_epochs": flags.num_epochs, "seed": flags.seed}
    of_sets = {name: getattr(flags, name) for name in ("split", "channels", "image_size")}
    of_sets = {name: value for name, value in of_sets.items() if value is not None}
    names = split_names(flags.data)
    if len(set(names)) > 1:
        classifier = train_on_joined(flags.data, **of_sets, **options)
    elif names not in _DIGITS:
        raise UserError(
            f"--data={flags.data!r}: name mnist or fashion_mnist, or different sets with commas between them, such as "
            "cifar10,fashion_mnist."
        )
    elif of_sets:
        raise UserError(f"--{next(iter(of_sets))} is for several sets, and --data={flags.data} is one. Leave it out.")
    else:
        classifier = train_on_tfds(*names, **options)
    save_classifier(classifier, flags.out)
    print(json.dumps(classifier.metadata))


if __name__ == "__main__":
    sys.exit(main())
