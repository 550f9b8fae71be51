r"""Metrics of two sets of images, without a model.

    python -m buresgan_jax.metrics --real=tfds:cifar10:test --fake=samples.npz \
        --metrics=kernel_distance,precision_recall --out=metrics.json

Sets are folders of pictures, `.npz` or `.npy` files of images, or `tfds:NAME:SPLIT`. The real one may also be a file
with its statistics (`mu` and `sigma`). A table goes to standard output, every number with how it was made to `--out`.
Statistics of the real set are kept in the user's cache folder and found again by the pixels, unless features cost
nothing.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence

from buresgan_jax import data
from buresgan_jax.cli.arguments import Parser, whole_number
from buresgan_jax.cli.exit_status import exit_status
from buresgan_jax.declarations import MOST_SEED
from buresgan_jax.errors import UserError, user_error
from buresgan_jax.evaluation import image_metrics, statistics_cache, statistics_file, tables
from buresgan_jax.evaluation.image_evaluator import Comparison
from buresgan_jax.evaluation.image_metrics import METRICS
from buresgan_jax.evaluation.summaries import Summary, summarize
from buresgan_jax.extractors import EXTRACTORS, named_extractor
from buresgan_jax.runtime import compilation_cache, files
from buresgan_jax.runtime.paths import check_file, user_path


def _range(word):
    try:
        low, high = map(float, word.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"it must be two increasing numbers such as 0,1, got {word}")
    return low, high


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a mistake ends the program with one line and status 2."""
    first_line = __doc__.partition("\n")[0]
    parser = Parser(prog="python -m buresgan_jax.metrics", description=first_line, allow_abbrev=False)
    parser.add_argument(
        "--real",
        required=True,
        help="the real images: a folder, an .npz or .npy file, tfds:NAME:SPLIT, or an .npz file of their statistics",
    )
    parser.add_argument("--fake", help="the generated images, likewise, but no statistics")
    parser.add_argument("--metrics", help=f"names with commas between them: {', '.join(METRICS)}")
    parser.add_argument("--save_statistics", help="an .npz file for mean and covariance of the real features")
    parser.add_argument(
        "--range", type=_range, help="values of black and white in floating arrays, such as 0,1 (default: -1,1)"
    )
    parser.add_argument("--extractor", default="pixels", help=f"extractor of features: {', '.join(EXTRACTORS)}")
    parser.add_argument("--weights", help="the extractor's weights file, if it needs one")
    parser.add_argument("--resizer", help="how the extractor resizes: legacy_tensorflow, legacy_pytorch or clean")
    parser.add_argument(
        "--num", type=whole_number(1), help="number of images of each set, drawn by the seed (default: all)"
    )
    parser.add_argument(
        "--image_size", type=whole_number(1), help="size in pixels to which folders and TFDS sets are cut and resized"
    )
    parser.add_argument("--channels", type=whole_number(1), choices=[1, 3], help="channels of folders and TFDS sets")
    parser.add_argument("--data_dir", help="where the TFDS sets were prepared")
    parser.add_argument(
        "--seed", type=whole_number(0, MOST_SEED), default=0, help="seed of all draws (default: %(default)s)"
    )
    for option in image_metrics.OPTIONS:
        parser.add_argument(
            f"--{option.name}",
            type=whole_number(option.least),
            default=option.default,
            help=f"{option.meaning} (default: %(default)s)",
        )
    parser.add_argument("--out", help="a .json file for all numbers, each with how it was made")
    flags = parser.parse_args(arguments)
    given = [flags.fake is not None, flags.metrics is not None]
    if not all(given) and (any(given) or not flags.save_statistics):
        parser.error("--real, --fake and --metrics belong together (--real alone: with --save_statistics)")
    return flags


def _run(flags):
    for name in ("out", "save_statistics"):
        path = getattr(flags, name)
        if path is not None:
            check_file(user_path(path, f"--{name}"), f"--{name}")
    extractor = named_extractor(flags.extractor, flags.weights, flags.resizer)
    names = image_metrics.metric_names(flags.metrics or "", flags.extractor)
    if flags.fake and not names:
        raise UserError(f"--metrics is empty. Give names with commas between them: {', '.join(METRICS)}.")
    real = statistics_file.load(flags.real, extractor) or _open(flags, flags.real)
    entries = _compare(flags, names, extractor, real) if flags.fake else {}
    if flags.save_statistics:
        if isinstance(real, Summary):
            raise UserError(f"{flags.real} holds statistics already. Leave out --save_statistics, or give images.")
        summary = user_error(summarize)(
            flags.real, _batches(flags, real), ["moments"], extractor, cache=statistics_cache.default_folder()
        )
        statistics_file.save(flags.save_statistics, summary, extractor)
    return entries


def _open(flags, place):
    sizes = {"image_size": flags.image_size, "channels": flags.channels, "data_dir": flags.data_dir}
    return data.image_set(place, **sizes, value_range=flags.range)


def _batches(flags, source):
    return data.ImageBatches(source, num=flags.num, seed=flags.seed)


def _compare(flags, names, extractor, real):
    fake_source = _open(flags, flags.fake)
    if not isinstance(real, Summary):
        if real.example_shape != fake_source.example_shape:
            shapes = " and ".join(f"{source.example_shape} ({source.name})" for source in (real, fake_source))
            raise UserError(
                "real and fake must have images of one height, width and number of channels, "
                f"got {shapes}. Give --image_size or --channels, which folders and TFDS sets obey."
            )
        real = _batches(flags, real)
    fake = _batches(flags, fake_source)
    comparison = Comparison(
        names,
        extractor,
        {option.name: getattr(flags, option.name) for option in image_metrics.OPTIONS},
        real,
        name=flags.real,
        num_fake=fake.num_images,
        image_shape=fake_source.example_shape,
        seed=flags.seed,
    )
    entries = comparison(fake, flags.fake)
    undefined = {}
    for name, entry in entries.items():
        if "undefined" in entry:
            undefined.setdefault(entry["undefined"], []).append(name)
    lines = [f"{', '.join(each)}: {reason}" for reason, each in undefined.items()]
    if all("undefined" in entry for entry in entries.values()):
        raise UserError(lines[0])
    print(*lines, sep="\n", end="\n" * bool(lines), file=sys.stderr)
    return entries


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Arguments without the program's name; None: those of the process.

    Returns:
        The exit status.
    """
    flags = parse(arguments)
    return exit_status(lambda: _write(flags))


def _write(flags):
    compilation_cache.enable()
    entries = _run(flags)
    if entries:
        print(tables.of_entries(entries), flush=True)  # before a file that may fail
    if flags.out:
        files.replace_text(user_path(flags.out, "--out"), json.dumps(entries, indent=2) + "\n")
