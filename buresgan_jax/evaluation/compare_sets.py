r"""Metrics of two sets of images, without a model.

    python -m buresgan_jax.metrics --real=tfds:cifar10:test --fake=samples.npz \
        --metrics=kernel_distance,precision_recall --out=metrics.json

Sets are folders of PNG and JPEG files, `.npz` files with an array `samples`, or `tfds:NAME:SPLIT`. A table goes to
standard output, every number with how it was made to `--out`. Statistics of the real set are kept in the user's cache
folder and found again by the pixels, except for features that cost nothing.
"""

import json
import sys
from collections.abc import Sequence

from buresgan_jax import data
from buresgan_jax.cli.arguments import Parser, whole_number
from buresgan_jax.declarations import MOST_SEED
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import image_metrics, tables
from buresgan_jax.evaluation.image_evaluator import Comparison
from buresgan_jax.evaluation.image_metrics import METRICS
from buresgan_jax.extractors import EXTRACTORS, named_extractor
from buresgan_jax.runtime import compilation_cache, process
from buresgan_jax.runtime.paths import user_path


def _parse(arguments):
    first_line = __doc__.partition("\n")[0]
    parser = Parser(prog="python -m buresgan_jax.metrics", description=first_line, allow_abbrev=False)
    parser.add_argument("--real", required=True, help="the real images: a folder, an .npz file, or tfds:NAME:SPLIT")
    parser.add_argument("--fake", required=True, help="the generated images, likewise")
    parser.add_argument("--metrics", required=True, help=f"names with commas between them: {', '.join(METRICS)}")
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
    return parser.parse_args(arguments)


def _run(flags):
    if flags.out is not None and not user_path(flags.out, "--out").parent.is_dir():
        raise UserError(f"The folder of --out={flags.out} does not exist. Create it, or give another file.")
    names = image_metrics.metric_names(flags.metrics, flags.extractor)
    if not names:
        raise UserError(f"--metrics is empty. Give names with commas between them: {', '.join(METRICS)}.")
    extractor = named_extractor(flags.extractor, flags.weights, flags.resizer)
    sizes = {"image_size": flags.image_size, "channels": flags.channels, "data_dir": flags.data_dir}
    sources = [data.image_set(place, **sizes) for place in (flags.real, flags.fake)]
    if len({source.example_shape for source in sources}) > 1:
        shapes = " and ".join(f"{source.example_shape} ({source.name})" for source in sources)
        raise UserError(
            "real and fake must have images of one height, width and number of channels, "
            f"got {shapes}. Give --image_size or --channels, which folders and TFDS sets obey."
        )
    real, fake = (data.ImageBatches(source, num=flags.num, seed=flags.seed) for source in sources)
    comparison = Comparison(
        names,
        extractor,
        {option.name: getattr(flags, option.name) for option in image_metrics.OPTIONS},
        real,
        name=flags.real,
        num_fake=fake.num_images,
        image_shape=sources[0].example_shape,
        seed=flags.seed,
    )
    entries = comparison(fake, flags.fake)
    if undefined := [f"{name}: {entry['undefined']}" for name, entry in entries.items() if "undefined" in entry]:
        if len(undefined) == len(entries):
            raise UserError(undefined[0])
        print("\n".join(undefined), file=sys.stderr)
    return entries


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Arguments without the program's name; None: those of the process.

    Returns:
        Exit status: 0, or 2 for an error that the user can fix, in one line on standard error.
    """
    flags = _parse(arguments)
    process.tune_for_cpu()
    try:
        compilation_cache.enable()
        entries = _run(flags)
        print(tables.of_entries(entries), flush=True)  # before a file that may fail
        if flags.out:
            user_path(flags.out, "--out").write_text(json.dumps(entries, indent=2) + "\n")
    except UserError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Cannot read or write: {error}.", file=sys.stderr)
        return 2
    return 0
