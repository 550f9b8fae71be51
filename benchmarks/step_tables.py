"""The rows of `steps.py`, their measurements, and the tables."""

from typing import NamedTuple

from timing import Speed

PEERS = ("eager", "compiled")
COMPARED = ("gan", "frobenius", "bures", "alternating_bures")  # methods whose parts, arithmetic and peer are known
# Terms of methods whose step without them is the same step otherwise.
_PENALTIES = {"frobenius": ("frobenius",), "bures": ("bures",), "maem": ("entropy", "real_entropy")}
# Milliseconds; of two cores with about 320 GFLOP/s.
TARGETS = {
    ("ring", "gan", 256): 1.3,
    ("ring", "bures", 256): 2.5,
    ("ring", "alternating_bures", 256): 3.6,
    ("cifar", "bures", 64): 215.0,
}

LEGEND = """\
Medians of calls in turn, in a process that loaded the compiled programs from the cache. Compile: the first call in a
process that had to compile; load: in this one. PyTorch runs in processes of its own; a ratio above 1 says that ours is
faster. The target was measured on two CPU cores with about 320 GFLOP/s, and is not scaled. GFLOP: arithmetic of the
step with plain convolutions, counted by XLA, without the decompositions; GB: what the operations of the compiled step
read and write, counted by XLA. The floors are these two at the speeds above (spectra, on a CPU, need less than that
arithmetic)."""
_SHOWN_KERNELS = 25
_PARTS = """
Parts of the step, each compiled by itself, ms (share of the step). Each part of a short step pays for a call of its
own; "the rest" is negative where the whole step, compiled as one, saves what its parts do twice."""
_MOVES = """
A step is an update of the generator. What one further step of the discriminator adds, from two numbers of them in turn;
the rest is the generator's part, averages, and what both players' moves share where they are simultaneous:"""


class Row(NamedTuple):
    """A requested measurement."""

    data: str
    method: str
    batch_size: int

    def __str__(self):
        return f"{self.data} {self.method} {self.batch_size}"

    @property
    def is_usual(self):
        """Whether it is timed by default."""
        if not self.is_compared:
            return self.data == "ring" and self.batch_size == 256
        if self.data == "ring":
            return True
        if self.data == "stl10":
            return self.method == "bures" and self.batch_size == 64
        return self.batch_size == 64 or self.method == "bures"

    @property
    def is_compared(self):
        """Whether there are more results for it than its time."""
        return self.method in COMPARED

    @property
    def penalties(self) -> tuple[str, ...]:
        """Terms that `--breakdown` leaves out: those of METHOD+TERM, or the method's own."""
        return tuple(self.method.split("+")[1:]) or _PENALTIES.get(self.method, ())

    @property
    def is_compiled(self):
        """Whether PyTorch is compiled for it (a minute each) by default."""
        return self.method == "bures" and self.batch_size == (256 if self.data == "ring" else 64)


class Measured(NamedTuple):
    """Results of a measurement; times in milliseconds."""

    row: Row
    compile_seconds: float  # of the first call
    ms: float
    peers: dict[str, float]  # by kind, per step
    gigaflops: float | None
    gigabytes: float
    pipeline: tuple[str, float, float, float] | None  # source; per step, resident, streamed and the host's work alone
    seeds: dict[int, float]  # by number, per seed and step
    settings: dict[str, float]  # by "field=value", per step
    ms_without_penalty: float | None  # per step, in turn with the whole one
    shares: dict[str, float]  # by part of the step
    kernels: list[tuple[str, float]]  # names and times per step, see `step_trace.kernels`
    load_seconds: float | None = None  # of the first call in a process that found the programs in the cache
    moves: tuple[int, float, float] | None = None  # discriminator's steps per step; ms of one of them, and of the rest


def tables(results: list[Measured], speed: Speed) -> list[str]:
    """Markdown: times beside targets, peers and floors, then the other requested tables."""
    lines = _table(
        ["row", "batch", "compile s", "load s", "ms/step", "target"]
        + [title for kind in PEERS for title in (f"torch {kind} ms", f"{kind} / ours")]
        + ["GFLOP", "arithmetic floor ms", "GB", "memory floor ms", "ms / larger floor"],
        [_times(result, speed) for result in results],
    )
    if any(result.pipeline for result in results):
        titles = ["row", "batch", "data", "resident batch ms/step", "input pipeline ms/step", "cost"]
        titles += ["the host's work alone ms/step"]
        lines += ["", "With the input pipeline (the host works while the devices do):", ""]
        lines += _table(titles, map(_pipeline, results))
    if numbers := sorted({number for result in results for number in result.seeds}):
        titles = ["row", "batch", "alone"] + [f"{number} by one vmap" for number in numbers]
        cells = [[*_name(r), _number(r.ms), *(_number(r.seeds.get(number)) for number in numbers)] for r in results]
        lines += ["", "Several seeds in one call, ms per seed and step:", "", *_table(titles, cells)]
    if any(result.settings for result in results):
        titles = ["row", "batch", "setting", "ms/step", "with it / without"]
        cells = [cells for result in results for cells in _settings(result)]
        lines += ["", "With another setting, in turn:", "", *_table(titles, cells)]
    if any(result.shares for result in results):
        known = [result for result in results if result.shares]
        titles = ["row", "batch", *known[0].shares, "the rest", "whole step ms"]
        lines += [_PARTS, "", *_table(titles, map(_shares, known))]
    if penalized := [result for result in results if result.ms_without_penalty is not None]:
        titles = ["row", "batch", "penalty", "ms/step", "without the penalty", "share of the penalty"]
        lines += [
            "",
            "The same step with and without the penalty, in turn:",
            "",
            *_table(titles, map(_penalty, penalized)),
        ]
    if moved := [result for result in results if result.moves is not None]:
        titles = ["row", "batch", "ms/step", "discriminator's steps", "each of them ms", "the rest ms"]
        lines += [_MOVES, "", *_table(titles, map(_moves, moved))]
    for result in results:
        if result.kernels:
            shown = [[name, _number(ms)] for name, ms in result.kernels[:_SHOWN_KERNELS]]
            title = f"What ran on the device in a step of {result.row}:"
            lines += ["", title, "", *_table(["kernel", "ms/step"], shown)]
    return lines


def _table(titles, rows):
    body = [f"| {' | '.join(cells)} |" for cells in rows]
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *body]


def _name(result):
    return [f"{result.row.data} {result.row.method}", str(result.row.batch_size)]


def _number(value):
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _times(result, speed):
    target = TARGETS.get(result.row) if speed.is_cpu else None
    load = "-" if result.load_seconds is None else f"{result.load_seconds:.1f}"
    cells = [*_name(result), f"{result.compile_seconds:.1f}", load, _number(result.ms), _number(target)]
    for kind in PEERS:
        peer = result.peers.get(kind)
        cells += [_number(peer), _number(peer and peer / result.ms)]
    arithmetic = result.gigaflops and 1e3 * result.gigaflops / speed.gigaflops
    memory = 1e3 * result.gigabytes / speed.gigabytes
    cells += [_number(result.gigaflops), _number(arithmetic), _number(result.gigabytes), _number(memory)]
    return [*cells, _number(result.ms / max(arithmetic or 0, memory))]


def _settings(result):
    for setting, ms in result.settings.items():
        yield [*_name(result), setting, _number(ms), _number(ms / result.ms)]


def _pipeline(result):
    source, resident, streamed, host = result.pipeline
    cost = f"{100 * (streamed / resident - 1):+.1f} %"
    return [*_name(result), source, _number(resident), _number(streamed), cost, _number(host)]


def _penalty(result):
    without = result.ms_without_penalty
    share = f"{100 * (1 - without / result.ms):.1f} %"
    return [*_name(result), ", ".join(result.row.penalties), _number(result.ms), _number(without), share]


def _moves(result):
    count, each, rest = result.moves
    return [*_name(result), _number(result.ms), str(count), _number(each), _number(rest)]


def _shares(result):
    shares = result.shares | {"the rest": result.ms - sum(result.shares.values())}
    cells = [f"{_number(ms)} ({100 * ms / result.ms:.0f} %)" for ms in shares.values()]
    return [*_name(result), *cells, _number(result.ms)]
