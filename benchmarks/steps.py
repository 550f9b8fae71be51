"""Milliseconds per training step: every method and data set; PyTorch in the same run beside four of the methods.

    pip install -e ".[peers]"                     # without torch its columns hold "-"
    python benchmarks/steps.py                    # the usual rows, about ten minutes on two slow cores
    python benchmarks/steps.py --all --pipeline --seeds=1,4 --breakdown --output=steps.md
    python benchmarks/steps.py --data=ring --cores=0 --busy    # one core, while a busy process has the others

All that is compared is called in turn, and every number is the median of its calls, so that a busy machine disturbs all
alike: read the ratios. A call holds as many steps as the config says; the first one, which compiles, is apart. The
small decompositions have one BLAS thread; PyTorch has as many threads as there are cores, or one where that is faster.
Any of --all, --rows, --data, --methods, --batch-sizes gives all the rows that match, STL at batch 256 (minutes) too.
Exit status 0.
"""

import argparse
import itertools
import pathlib
import sys
import warnings

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import jax_steps
import timing
from step_tables import LEGEND, PEERS, Measured, Row, tables

from buresgan_jax import process
from buresgan_jax.config import METHODS

DATA = ("ring", "stacked_mnist", "cifar", "stl10")
BATCH_SIZES = (64, 256)
_PEER_SECONDS = 0.3  # of steps in one call of the peer
_SLOW_SECONDS = 3.0  # a step that takes longer gets all cores without a trial
_AHEAD = 3  # calls whose batches are read already when a turn of the pipeline begins


# Measuring


def measure(row: Row, options) -> Measured:
    """Times one row."""
    config = jax_steps.make_config(row.data, row.method, row.batch_size, dtype=options.dtype, data_dir=options.data_dir)
    limits = {"rounds": options.rounds, "budget": options.budget}
    steps, parts = jax_steps.Steps(config), jax_steps.Parts(config) if row.is_compared else None
    first = timing.seconds_of(steps.resident)
    calls, counts = {"ours": steps.resident}, {"ours": steps.per_call}
    if options.breakdown and row.has_penalty:
        config_without = config.copy_and_resolve_references()
        config_without.penalty.name = None
        calls["without"], counts["without"] = jax_steps.Steps(config_without).resident, steps.per_call
        timing.seconds_of(calls["without"])
    kinds = options.peer
    if kinds is None:
        kinds = [kind for kind in PEERS if kind == "eager" or row.is_compiled]
    for kind in kinds if row.is_compared else ():
        peer = _make_peer(kind, row, options)
        if peer is not None:
            calls[kind], counts[kind] = peer
    for number in options.seeds:
        calls[number], counts[number] = jax_steps.seeds_call(config, number), number * steps.per_call
        timing.seconds_of(calls[number])
    seconds = timing.medians_in_turn(calls, **limits)
    ms = {name: 1e3 * value / counts[name] for name, value in seconds.items()}
    return Measured(
        row=row,
        compile_seconds=first - seconds["ours"],
        ms=ms["ours"],
        peers={kind: ms[kind] for kind in PEERS if kind in ms},
        gigaflops=parts.gigaflops() if parts else None,
        pipeline=_time_pipeline(steps, options.budget) if options.pipeline else None,
        seeds={number: ms[number] for number in options.seeds},
        ms_without_penalty=ms.get("without"),
        shares=_time_shares(parts, limits) if options.breakdown and parts else {},
    )


def _make_peer(kind, row, options):
    """A call of the PyTorch peer and its number of steps; None where it does not work."""
    device = {"cpu": "cpu", "gpu": "cuda"}.get(jax.default_backend())
    try:
        import torch
        import torch_peer

        if kind == "eager":
            torch.set_num_threads(len(options.cores))  # the row before may have chosen one
        dtype = getattr(torch, options.dtype)
        step = torch_peer.make_step(*row, compiled=kind == "compiled", dtype=dtype, device=device)
        step()
    except Exception as error:  # it may fail in any way, and the others go on
        print(f"{row}: torch {kind} failed: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return None
    seconds = timing.seconds_of(step)
    if kind == "eager" and device == "cpu" and seconds < _SLOW_SECONDS:
        seconds = _choose_threads(torch, step, options.cores)
    count = max(1, round(_PEER_SECONDS / seconds))

    def call():
        for _ in range(count):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return call, count


def _choose_threads(torch, step, cores):
    """Sets the faster of one thread and one per core; returns the seconds of a step with it."""
    seconds = {}
    for threads in {1, len(cores)}:
        torch.set_num_threads(threads)
        seconds[threads] = timing.medians_in_turn({"step": step}, rounds=5, budget=2)["step"]
    torch.set_num_threads(min(seconds, key=seconds.get))
    return min(seconds.values())


def _time_pipeline(steps, budget):
    steps.decode_all()
    # A turn is many calls: batches that were read during another's turn cost nothing.
    calls = {"resident": steps.resident, "streamed": steps.streamed}
    seconds = timing.medians_in_turn(calls, rounds=2, budget=budget, in_a_row=_AHEAD + 4, skip=_AHEAD)
    steps.close()
    return steps.data, *(1e3 * value / steps.per_call for value in seconds.values())


def _time_shares(parts, limits):
    shares = {}
    for name, calls in parts.timed().items():
        for call in calls:
            timing.seconds_of(call)
        seconds = timing.medians_in_turn(dict(enumerate(calls)), **limits)
        shares[name] = 1e3 * sum(seconds.values())
    return shares


# Command line


def _torch_threads(cores):
    """What PyTorch was given, after the BLAS that JAX uses was limited; a limit must not reach its MKL."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    torch.set_num_threads(len(cores))
    info = dict(line.strip().split(" : ", 1) for line in torch.__config__.parallel_info().splitlines() if " : " in line)
    return ", ".join(f"{name} {count}" for name, count in info.items() if name.endswith("threads()"))


def parse(arguments=None):
    """The options, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def listed(kind, choices=None):
        def convert(text):
            values = [kind(word) for word in text.split(",") if word]
            if not values or (choices and not set(values) <= set(choices)):
                raise argparse.ArgumentTypeError(f"got {text!r}, allowed: {', '.join(choices or ['numbers'])}")
            return values

        return convert

    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--rows", help='only rows whose name, such as "cifar bures 64", contains this')
    parser.add_argument("--data", type=listed(str, DATA), default=None)
    parser.add_argument("--methods", type=listed(str, METHODS), default=None)
    parser.add_argument("--batch-sizes", type=listed(int), default=None)
    parser.add_argument("--peer", type=listed(str, (*PEERS, "none")), help="default: eager, and compiled for few rows")
    parser.add_argument("--pipeline", action="store_true", help="also with the input pipeline")
    parser.add_argument("--data-dir", help="where TFDS sets are prepared; missing ones are replaced by random pixels")
    parser.add_argument("--seeds", type=listed(int), default=[], help="numbers of seeds per call, such as 1,4")
    parser.add_argument("--breakdown", action="store_true", help="also the parts of the step")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], default="float32", help="of the networks; bfloat16 is for GPUs"
    )
    parser.add_argument("--cores", type=listed(int), help="pin to these, such as 0 or 0,1; default: all (--busy: 0)")
    parser.add_argument("--busy", action="store_true", help="keep all other cores busy")
    parser.add_argument("--rounds", type=int, default=7, help="calls of each kind")
    parser.add_argument("--budget", type=float, default=8.0, help="seconds per row after which three calls are enough")
    parser.add_argument("--output", type=pathlib.Path, help="a Markdown file")
    options = parser.parse_args(arguments)
    if options.peer and "none" in options.peer:
        options.peer = []
    if options.busy and options.cores is None:
        options.cores = [0]
    available = timing.pin(None)
    if not set(options.cores or available) <= set(available):
        parser.error(f"--cores={options.cores}: this process may use {available}.")
    if options.busy and set(options.cores) == set(available):
        parser.error("--busy needs a core beside those of --cores.")
    return options


def rows(options) -> list[Row]:
    """What the options ask for."""
    asked = (options.data or DATA, options.methods or METHODS, options.batch_sizes or BATCH_SIZES)
    found = [Row(*names) for names in itertools.product(*asked) if (options.rows or "") in str(Row(*names))]
    is_everything = options.all or any((options.rows, options.data, options.methods, options.batch_sizes))
    return [row for row in found if is_everything or row.is_usual]


def main():
    """Times the rows and prints the tables."""
    options = parse()
    others = set(timing.pin(None)) - set(options.cores or [])
    options.cores = timing.pin(options.cores)
    process.tune_for_cpu()
    warnings.filterwarnings("ignore", module="torch")
    others = sorted(others) if options.busy else []
    cores = f"{len(options.cores)} ({', '.join(map(str, options.cores))})"
    facts = {"Cores": f"{cores}; kept busy by another process: {', '.join(map(str, others)) or 'none'}"}
    facts["Threads"] = f"one for JAX's decompositions; torch: {_torch_threads(options.cores)}"
    with timing.busy(others):
        rate = timing.matmul_gigaflops()
        lines, results = timing.header(facts, rate), []
        print("\n".join(lines), flush=True)
        for row in rows(options):
            results.append(measure(row, options))
            print(tables(results[-1:], rate)[2], flush=True)
    page = "\n".join(["# Milliseconds per training step", "", *lines, "", LEGEND, "", *tables(results, rate), ""])
    if options.output:
        options.output.write_text(page)
    print(f"\n{page}")


if __name__ == "__main__":
    main()
