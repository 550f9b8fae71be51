r"""f-divergences beside each other, as a table and a picture, without a model.

    python -m buresgan_jax.divergences --divergences=kl,softened_reverse_kl --out=divergences.png

The table goes to standard output. The picture has their functions and the Gaussian nearest to a mixture of two
Gaussians under each of them.
"""

import argparse
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from etils import epath

from buresgan_jax import divergences
from buresgan_jax.cli.arguments import Parser
from buresgan_jax.cli.exit_status import exit_status
from buresgan_jax.divergences import DIVERGENCES, Divergence, GaussianFit
from buresgan_jax.errors import UserError, choose, split_names
from buresgan_jax.evaluation import divergence_pictures, pictures
from buresgan_jax.runtime import compilation_cache
from buresgan_jax.runtime.paths import check_file, user_path

_MIXTURE = "0.6 N(-2, 0.7^2) + 0.4 N(2, 0.7^2)"
_LOWER, _UPPER = -6.0, 6.0
_SHARE = 0.1  # of data that are dropped, and of samples that are junk
_HALF = ", m = (p + q) / 2"


def _log_mixture(x):
    parts = [jnp.log(weight) - ((x - mean) / 0.7) ** 2 / 2 for weight, mean in ((0.6, -2), (0.4, 2))]
    return jnp.logaddexp(*parts) - jnp.log(0.7 * jnp.sqrt(2 * jnp.pi))


def table(chosen: Sequence[Divergence]) -> str:
    """Makes a table of divergences, a line for each, from covering to seeking modes."""
    header = ["divergence", "L", "R", "f(0)", "slope", "bounded", "tendency", "drop 10 %", "junk 10 %", "equals"]
    lines = [_line(each) for each in divergence_pictures.from_covering_to_seeking(chosen)]
    notes = (
        "L, R: tail weights. slope: f(u) / u at infinity. bounded: in junk, in drops, in both, or neither.",
        "drop, junk 10 %: D(p, q) if q lacks 10 % of the data; if 10 % of it are where no data are. m = (p + q) / 2.",
    )
    return "\n".join([_aligned([header, *lines]), *notes])


def _line(divergence):
    bounded = (divergence.tails.left < 2, divergence.tails.right < 2)
    numbers = (
        divergence.at_zero,
        divergence.slope_at_infinity,
        divergences.divergence_of_dropped_share(divergence, _SHARE),
        divergences.divergence_of_junk_share(divergence, _SHARE),
    )
    at_zero, slope, dropped, junk = (f"{number:.4g}" for number in numbers)
    words = {(True, True): "both", (True, False): "junk", (False, True): "drops", (False, False): "neither"}
    tails = [f"{each:g}" for each in divergence.tails]
    tendency, meaning = divergence_pictures.tendency(divergence), divergence.meaning.replace(_HALF, "")
    return [divergence.name, *tails, at_zero, slope, words[bounded], tendency, dropped, junk, meaning]


def table_of_fits(fits: Mapping[str, Sequence[GaussianFit]]) -> str:
    """Makes a table of fitted Gaussians, a line for each divergence."""
    header = [f"Gaussian nearest to {_MIXTURE}", "D", "mean", "std", "other local minima: D; mean, std"]
    lines = []
    for name, (best, *others) in fits.items():
        rest = ["; ".join((f"{each.value:.4f}", f"{each.mean:.3f}, {each.std:.3f}")) for each in others]
        lines.append([name, f"{best.value:.4f}", f"{best.mean:.3f}", f"{best.std:.3f}", "   ".join(rest)])
    return _aligned([header, *lines])


def _aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join(padded)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; a mistake ends the program with one line and status 2."""
    first_line = __doc__.partition("\n")[0]
    parser = Parser(prog="python -m buresgan_jax.divergences", description=first_line, allow_abbrev=False)
    parser.add_argument("--divergences", help=f"names with commas between them (default: {','.join(DIVERGENCES)})")
    suffixes = ", ".join(pictures.SUFFIXES)
    parser.add_argument("--out", help=f"the picture, a file that ends in {suffixes} (default: only the table)")
    return parser.parse_args(arguments)


def _chosen(words):
    names = DIVERGENCES if words is None else split_names(words)
    if not names:
        raise UserError(f"--divergences is empty. Give names with commas between them: {', '.join(DIVERGENCES)}.")
    return [choose("divergence", name, DIVERGENCES, "--divergences") for name in dict.fromkeys(names)]


def _picture_path(out):
    path = user_path(out, "--out")
    check_file(path, "--out")
    if path.suffix.lower() not in pictures.SUFFIXES:
        raise UserError(f"--out={path} ends in none of {', '.join(pictures.SUFFIXES)}. Give such a file.")
    return path


def _draw(path: epath.Path, chosen: Sequence[Divergence]) -> None:
    compilation_cache.enable()
    limits = {"lower": _LOWER, "upper": _UPPER}
    ordered = divergence_pictures.from_covering_to_seeking(chosen)
    fits = {each.name: divergences.fit_gaussian(each, _log_mixture, **limits) for each in ordered}
    print(f"\n{table_of_fits(fits)}", flush=True)
    divergence_pictures.divergence_panels(path, ordered, fits, _log_mixture, **limits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Arguments without the program's name; None: those of the process.

    Returns:
        The exit status.
    """
    flags = parse(arguments)
    return exit_status(lambda: _run(flags))


def _run(flags):
    chosen = _chosen(flags.divergences)
    path = None if flags.out is None else _picture_path(flags.out)
    print(table(chosen), flush=True)
    if path is not None:
        _draw(path, chosen)
