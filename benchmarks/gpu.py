"""Measures everything on a GPU with one command, in at most ten minutes.

    pip install -e ".[dev,peers]"    # and jax for the GPU: pip install "jax[cuda13]"
    python benchmarks/gpu.py --output=docs/results/gpu

Runs the other benchmarks one after another, the most important ones first, and writes a page for each into the folder.
A benchmark with a page is not run again, so an interrupted command can be repeated. Benchmarks that fail or take too
long are reported and skipped; the exit status is then 1.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

_FOLDER = pathlib.Path(__file__).parent
_CIFAR = "steps.py --data=cifar --rounds=9 --budget=6"
_BOTH = "--peer=eager,compiled"
RUNS = {
    "cifar_tf32": f"{_CIFAR} --methods=bures --dtype=tf32 {_BOTH} --breakdown",
    "cifar_float32": f"{_CIFAR} --methods=bures --dtype=float32 {_BOTH}",
    "cifar_bfloat16": f"{_CIFAR} --methods=bures --dtype=bfloat16 {_BOTH}",
    # These explain the gap to the floors: the decomposition, the loop over steps, kernels by name.
    "cifar_settings": f"{_CIFAR} --methods=bures --dtype=tf32 --peer=none --vary=training.steps_per_call=1,4,16 "
    "--vary=bures.method=newton_schulz,svd --trace={traces}",
    "ring": "steps.py --data=ring --methods=gan,bures,alternating_bures --batch-sizes=256 --rounds=7 --budget=5 "
    "--seeds=1,10 --pipeline --vary=bures.method=newton_schulz",
    "cifar_seeds": f"{_CIFAR} --methods=bures --batch-sizes=64 --dtype=tf32 --peer=none --seeds=1,4 --pipeline",
    "images": "steps.py --data=stacked_mnist,stl10 --methods=bures --batch-sizes=64 --dtype=tf32 --peer=eager",
    "prng": "prng.py",
}


def run(command: str, page: pathlib.Path, seconds: float) -> str | None:
    """Writes the page of a benchmark; returns what went wrong, if anything did."""
    script, *options = command.format(traces=page.parent / "traces").split()
    writes_page = script == "steps.py"
    options += [f"--output={page}"] * writes_page
    if seconds <= 0:
        return "no time was left"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # It gets its own process session, so that its child processes can be stopped too.
    command = [sys.executable, str(_FOLDER / script), *options]
    with subprocess.Popen(command, start_new_session=True, **pipes) as started:
        try:
            out, err = started.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):  # all of them have ended
                os.killpg(started.pid, signal.SIGKILL)
    print(err, file=sys.stderr, flush=True)
    if started.returncode:
        page.with_suffix(".failed.txt").write_text(out + err)
        return f"exit status {started.returncode}, see {page.with_suffix('.failed.txt')}"
    if not writes_page:
        page.write_text(out)
    return None


def main(arguments=None) -> int:
    """Runs the benchmarks without a page; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a folder for the pages")
    parser.add_argument("--minutes", type=float, default=9.5, help="after which nothing goes on")
    parser.add_argument("--only", default="", help=f"names, separated by commas, of: {', '.join(RUNS)}")
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else list(RUNS)
    if unknown := set(names) - set(RUNS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is not one of {', '.join(RUNS)}.")
    options.output.mkdir(parents=True, exist_ok=True)
    end, failed = time.monotonic() + 60 * options.minutes, False
    for name in names:
        page = options.output / f"{name}.md"
        if page.exists():
            print(f"{name}: there already", flush=True)
            continue
        begin = time.monotonic()
        problem = run(RUNS[name], page, end - begin)
        failed |= problem is not None
        print(f"{name}: {problem or f'{time.monotonic() - begin:.0f} s'}", flush=True)
    return int(failed)


def exit_when_terminated() -> None:
    """Turns the signals that end this process into an exception, so that child processes are stopped too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


if __name__ == "__main__":
    exit_when_terminated()
    sys.exit(main())
