"""Makes the table of mixture results from the workdirs of finished runs, and puts it into the README.

Usage, with the runs that the README's table is made of:

    for seed in 0 1 2; do for method in bures alternating_bures; do for data in ring grid; do
      python -m buresgan_jax.main --config=configs/$data.py:$method --config.seed=$seed
          --workdir=runs/${data}_${method}_$seed
    done; done; done
    python benchmarks/collect.py runs/ring_* runs/grid_* [--update=README.md]

Exit status 0.
"""

import argparse
import collections
import json
import pathlib
import re

import numpy as np

METRICS = ("modes", "high_quality_share", "ema_modes", "ema_high_quality_share")


def read_run(workdir):
    """`(data set, method, step, seed)` and the last evaluation of a run."""
    config = json.loads((workdir / "config.json").read_text())
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["split"] == "eval"][-1]
    return (config["data"]["name"], config["method"], last["step"]), config["seed"], [last[name] for name in METRICS]


def table(workdirs):
    """Markdown rows, one per data set and method."""
    groups = collections.defaultdict(list)
    for workdir in workdirs:
        key, seed, values = read_run(workdir)
        groups[key].append((seed, values))
    rows = [
        "| Data | Method | Steps | Seeds | Modes, raw | In 3 std, raw | Modes, EMA | In 3 std, EMA |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (data, method, step), runs in sorted(groups.items()):
        runs.sort()
        modes, share, ema_modes, ema_share = np.array([values for _, values in runs]).T
        cells = [
            data,
            f"`{method}`",
            f"{step:,}",
            ", ".join(str(seed) for seed, _ in runs),
            ", ".join(f"{value:.0f}" for value in modes),
            ", ".join(f"{100 * value:.1f} %" for value in share),
            ", ".join(f"{value:.0f}" for value in ema_modes),
            ", ".join(f"{100 * value:.1f} %" for value in ema_share),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main():
    """Prints the table, and updates a file between its markers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workdirs", nargs="+", type=pathlib.Path)
    parser.add_argument("--update", type=pathlib.Path, help="file with <!-- results --> and <!-- /results --> markers")
    options = parser.parse_args()
    text = table([workdir for workdir in options.workdirs if (workdir / "metrics.jsonl").exists()])
    print(text)
    if options.update:
        old = options.update.read_text()
        new = re.sub(r"(<!-- results -->\n).*?(<!-- /results -->)", rf"\g<1>\n{text}\n\n\g<2>", old, flags=re.S)
        options.update.write_text(new)


if __name__ == "__main__":
    main()
