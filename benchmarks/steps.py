"""Milliseconds per training step: every method and data set; PyTorch in the same run beside four of the methods.

    pip install -e ".[peers]"                     # without torch its columns hold "-"
    python benchmarks/steps.py                    # the usual rows, about twenty minutes on two slow cores
    python benchmarks/steps.py --all --pipeline --seeds=1,4 --breakdown --output=steps.md
    python benchmarks/steps.py --data=ring --cores=0 --busy    # one core, while a busy process has the others
    python benchmarks/steps.py --data=cifar --vary=bures.method=newton_schulz,svd    # beside the config's own value
    python benchmarks/steps.py --data=cifar --methods=maem,gan+entropy --breakdown --moves

All compared functions are called in turn, and every number is the median of its calls, so that a busy machine affects
all of them equally: read the ratios. A call has as many steps as the config says, and a turn has as many calls as take
0.3 s. Small decompositions have one BLAS thread. PyTorch has one thread per core, or one thread if that is faster. It
runs in its own process, as its users run it, because one framework's compiler leaves memory behind that slows the other
framework down.

Each row is compiled in its own process and timed in another one, which loads the programs from a compilation cache, as
training does from its second start on. On a CPU, the memory that the compiler leaves behind slows down the steps of the
same process (measured: CIFAR by a tenth). If the second process cannot use the cache, it compiles again.

Any of --all, --rows, --data, --methods, --batch-sizes selects all rows that match, including STL at batch 256
(minutes). Exit status 1 if a row failed; the others are reported.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import copy
import itertools
import multiprocessing
import os
import pathlib
import sys
import tempfile
import warnings

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import jax_steps
import step_trace
import timing
from step_tables import LEGEND, PEERS, Measured, Row, tables

from buresgan_jax.config import METHODS
from buresgan_jax.runtime import compilation_cache, process

DATA = ("ring", "stacked_mnist", "cifar", "stl10")
BATCH_SIZES = (64, 256)
_TURN_SECONDS = 0.3  # of calls of one kind in a row
_SLOW_SECONDS = 3.0  # a step that takes longer gets all cores without a trial
_AHEAD = 3  # measurements at the start of a turn of the pipeline that do not count: their batches were read before


# Measuring


def measure(row: Row, options) -> Measured:
    """Times one row in this process."""
    config = jax_steps.make_config(row.data, row.method, row.batch_size, dtype=options.dtype, data_dir=options.data_dir)
    limits = {"rounds": options.rounds, "budget": options.budget, "fill": _TURN_SECONDS}
    steps, parts = jax_steps.Steps(config), jax_steps.Parts(config) if row.is_compared else None
    first = timing.seconds_of(steps.resident)
    calls, num_steps = {"ours": steps.resident}, {"ours": steps.per_call}
    settings = {f"{field}={value}": (field, value) for field, values in options.vary for value in values}
    for name, setting in (settings | _variants(row, config, options)).items():
        other = jax_steps.Steps(jax_steps.varied(config, *setting))
        calls[name], num_steps[name] = other.resident, other.per_call
        timing.seconds_of(calls[name])
    for number in options.seeds:
        calls[number], num_steps[number] = jax_steps.seeds_call(config, number), number * steps.per_call
        timing.seconds_of(calls[number])
    kinds = options.peer
    if kinds is None:
        kinds = [kind for kind in PEERS if kind == "eager" or row.is_compiled]
    with contextlib.ExitStack() as peers:
        for kind in kinds if row.is_compared else ():
            try:
                arguments = (kind, row, options, jax.default_backend())
                calls[kind] = peers.enter_context(timing.Elsewhere(_make_peer, *arguments))
            except RuntimeError as error:
                print(f"{row}: torch {kind} failed: {error}", file=sys.stderr)
        seconds = timing.medians_in_turn(calls, **limits)
    ms = {name: 1e3 * value / num_steps.get(name, 1) for name, value in seconds.items()}
    return Measured(
        row=row,
        compile_seconds=first - seconds["ours"],
        ms=ms["ours"],
        peers={kind: ms[kind] for kind in PEERS if kind in ms},
        gigaflops=parts.gigaflops() if parts else None,
        gigabytes=steps.bytes_accessed() / 1e9,
        pipeline=_time_pipeline(steps, limits) if options.pipeline else None,
        seeds={number: ms[number] for number in options.seeds},
        settings={name: ms[name] for name in settings},
        ms_without_penalty=ms.get("without"),
        moves=_split(config.algorithm.discriminator_steps, ms) if "moves" in ms else None,
        shares=_time_shares(parts, limits) if options.breakdown and parts else {},
        kernels=step_trace.kernels(steps.resident, steps.per_call, options.trace / str(row).replace(" ", "_"))
        if options.trace
        else [],
    )


def _variants(row, config, options):
    """Other settings of fields, by name, whose steps tell what a part of the row's own step costs."""
    found = {}
    if options.breakdown and row.penalties:
        found["without"] = "terms", tuple(term for term in config.terms if term not in row.penalties)
    if options.moves and config.algorithm.name == "gan":
        found["moves"] = "algorithm.discriminator_steps", 2 if config.algorithm.discriminator_steps == 1 else 1
    return found


def _split(count, ms):
    """The number of discriminator's steps, and the milliseconds of each and of the rest of the step."""
    each = (ms["ours"] - ms["moves"]) / (count - 1) if count > 1 else ms["moves"] - ms["ours"]
    return count, each, ms["ours"] - count * each


def _make_peer(kind, row, options, backend):
    """A step of the PyTorch peer, in this process."""
    import torch
    import torch_peer

    warnings.filterwarnings("ignore", module="torch")
    torch.set_num_threads(len(options.cores))
    torch_peer.allow_tf32(options.dtype == "tf32")
    dtype = torch.bfloat16 if options.dtype == "bfloat16" else torch.float32
    device = {"cpu": "cpu", "gpu": "cuda"}[backend]
    step = torch_peer.make_step(*row, compiled=kind == "compiled", dtype=dtype, device=device)
    for _ in range(3):
        timing.seconds_of(step)
    if device == "cpu" and timing.seconds_of(step) < _SLOW_SECONDS:
        _choose_threads(torch, step, options.cores)
    return step


def _choose_threads(torch, step, cores):
    """Sets the faster of one thread and one per core."""
    seconds = {}
    for threads in {1, len(cores)}:
        torch.set_num_threads(threads)
        timing.seconds_of(step)  # compiled steps are compiled again
        seconds[threads] = timing.medians_in_turn({"step": step}, rounds=5, budget=2)["step"]
    torch.set_num_threads(min(seconds, key=seconds.get))


def _time_pipeline(steps, limits):
    steps.decode_all()
    timing.seconds_of(steps.streamed)
    # A turn is many calls: batches that were read during another's turn cost nothing.
    calls = {"resident": steps.resident, "streamed": steps.streamed}
    seconds = timing.medians_in_turn(calls, **limits, in_a_row=_AHEAD + 4, skip=_AHEAD)
    steps.close()
    seconds |= timing.medians_in_turn({"host": steps.host}, **limits)
    return steps.data, *(1e3 * value / steps.per_call for value in seconds.values())


def _time_shares(parts, limits):
    shares = {}
    for name, calls in parts.timed().items():
        for call in calls:
            timing.seconds_of(call)
        shares[name] = 1e3 * sum(timing.medians_in_turn(dict(enumerate(calls)), **limits).values())
    return shares


# Processes: each row gets a new one, so that no memory of a row or its compiler affects the next row.


def _in_process(function, *arguments):
    """Calls the function in a new process and returns its result. Errors in that process are raised here."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def _begin(options):
    """Configures a new process like a training program."""
    process.tune_for_cpu()
    jax_steps.set_precision(options.dtype)
    timing.use_clock(options.clock)


def _measure_with_cache(row, options, cache):
    _begin(options)
    compilation_cache.enable(cache)
    return measure(row, options)


def _measure_compiled(row, options, cache):
    """Compiles everything in one process, and times it in another."""
    compiling = copy.copy(options)
    compiling.peer, compiling.trace, compiling.rounds, compiling.budget = [], None, 1, 0
    compiled = _in_process(_measure_with_cache, row, compiling, cache)
    loaded = _in_process(_measure_with_cache, row, options, cache)
    return loaded._replace(compile_seconds=compiled.compile_seconds, load_seconds=loaded.compile_seconds)


def _machine(facts, options):
    """The header of the page, and the speed of the machine."""
    _begin(options)
    return timing.header(facts, speed := timing.speed(options.dtype)), speed


# Command line


def _torch_threads(cores):
    """The number of threads for PyTorch."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    torch.set_num_threads(len(cores))
    info = dict(line.strip().split(" : ", 1) for line in torch.__config__.parallel_info().splitlines() if " : " in line)
    return ", ".join(f"{name} {count}" for name, count in info.items() if name.endswith("threads()"))


def _setting(text):
    """The name of a field and a list of its values."""
    field, separator, values = text.partition("=")
    if not separator or not field or not values:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected such as training.steps_per_call=1,20")

    def read(word):
        try:
            return ast.literal_eval(word)
        except (ValueError, SyntaxError):
            return word  # a name

    return field, [read(word) for word in values.split(",")]


def parse(arguments=None):
    """The options, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def listed(kind, choices=None):
        def convert(text):
            values = [kind(word) for word in text.split(",") if word]
            if not values or (choices and not {str(value).partition("+")[0] for value in values} <= set(choices)):
                raise argparse.ArgumentTypeError(f"got {text!r}, allowed: {', '.join(choices or ['numbers'])}")
            return values

        return convert

    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--rows", help='only rows whose name, such as "cifar bures 64", contains this')
    parser.add_argument("--data", type=listed(str, DATA), default=None)
    parser.add_argument("--methods", type=listed(str, METHODS), default=None, help="also METHOD+TERM")
    parser.add_argument("--batch-sizes", type=listed(int), default=None)
    parser.add_argument("--peer", type=listed(str, (*PEERS, "none")), help="default: eager, and compiled for few rows")
    parser.add_argument("--pipeline", action="store_true", help="also with the input pipeline")
    parser.add_argument("--data-dir", help="where TFDS sets are prepared; missing ones are replaced by random pixels")
    parser.add_argument("--seeds", type=listed(int), default=[], help="numbers of seeds per call, such as 1,4")
    parser.add_argument("--breakdown", action="store_true", help="also the parts of the step, or its share of a term")
    parser.add_argument("--moves", action="store_true", help="also a single step of the discriminator")
    parser.add_argument(
        "--vary",
        type=_setting,
        default=[],
        action="append",
        metavar="FIELD=VALUES",
        help="also with other values of a field of the config, such as training.steps_per_call=1,20; may be repeated",
    )
    parser.add_argument(
        "--dtype",
        choices=jax_steps.DTYPES,
        default="float32",
        help="of the networks' arithmetic, PyTorch's too; tf32 (float32 in memory) and bfloat16 are for GPUs",
    )
    parser.add_argument(
        "--trace",
        type=pathlib.Path,
        metavar="FOLDER",
        help="also a profile of a call of each row; on a GPU the kernels by name",
    )
    parser.add_argument("--cores", type=listed(int), help="pin to these, such as 0 or 0,1; default: all (--busy: 0)")
    parser.add_argument("--busy", action="store_true", help="keep all other cores busy")
    parser.add_argument(
        "--clock",
        choices=timing.CLOCKS,
        default="wall",
        help="cpu: the process's CPU time, for a CPU that other programs have most of; without PyTorch",
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each kind of call")
    parser.add_argument(
        "--budget",
        type=float,
        default=8.0,
        help="seconds of a row, and of its pipeline and each part, after which three turns are enough",
    )
    parser.add_argument("--output", type=pathlib.Path, help="a Markdown file")
    options = parser.parse_args(arguments)
    if options.peer and "none" in options.peer:
        options.peer = []
    if options.clock == "cpu":
        options.peer = []
    if options.busy and options.cores is None:
        options.cores = [0]
    available = timing.pin(None)
    if not set(options.cores or available) <= set(available):
        parser.error(f"--cores={options.cores}: this process may use {available}.")
    if options.busy and not hasattr(os, "sched_setaffinity"):
        parser.error("--busy needs a system where processes can be pinned.")
    if options.busy and set(options.cores) == set(available):
        parser.error("--busy needs a core beside those of --cores.")
    return options


def rows(options) -> list[Row]:
    """The rows that the options select."""
    asked = (options.data or DATA, options.methods or METHODS, options.batch_sizes or BATCH_SIZES)
    found = [Row(*names) for names in itertools.product(*asked) if (options.rows or "") in str(Row(*names))]
    is_everything = options.all or any((options.rows, options.data, options.methods, options.batch_sizes))
    return [row for row in found if is_everything or row.is_usual]


def main():
    """Times the rows and prints the tables."""
    options = parse()
    others = set(timing.pin(None)) - set(options.cores or [])
    options.cores = timing.pin(options.cores)
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")  # of a GPU; PyTorch has the rest
    others = sorted(others) if options.busy else []
    cores = timing.cores_fact(options.cores)
    facts = {"Cores": f"{cores}; kept busy by another process: {', '.join(map(str, others)) or 'none'}"}
    facts["Threads"] = f"one for JAX's decompositions; torch: {_in_process(_torch_threads, options.cores)}"
    facts |= {"Arithmetic": options.dtype, "Clock": options.clock}
    results, failed = [], []
    with timing.busy(others), tempfile.TemporaryDirectory() as cache:
        lines, speed = _in_process(_machine, facts, options)
        print("\n".join(lines), flush=True)
        for row in rows(options):
            try:
                results.append(_measure_compiled(row, options, cache))
            except Exception as error:  # it may fail in any way (memory, a driver), and the others go on
                failed.append(f"{row}: failed: {type(error).__name__}: {str(error)[:500]}")
                print(failed[-1], file=sys.stderr, flush=True)
            else:
                print(tables(results[-1:], speed)[2], flush=True)
    lines = ["# Milliseconds per training step", "", *lines, "", LEGEND, "", *tables(results, speed), ""]
    page = "\n".join([*lines, *(line for problem in failed for line in (problem, ""))])
    if options.output:
        options.output.write_text(page)
    print(f"\n{page}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
