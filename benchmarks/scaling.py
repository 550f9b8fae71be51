"""Counts the bytes that a training step sends between devices, and predicts efficiency from published link speeds.

    python benchmarks/scaling.py [--works=cifar] [--update=docs/scaling.md]

The step is lowered for 2, 4 and 8 simulated CPU devices with 64 examples on each, and compiled for 8. Collectives are
read from the program before optimization, where each still has its own name. Their sizes must add up to those of the
compiled program. The rest is arithmetic: docs/scaling.md describes the model and its sources. Takes one to three
minutes.
"""

import argparse
import collections
import functools
import importlib
import math
import pathlib
import re
import sys
from typing import NamedTuple

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import scaling_model as model

from buresgan_jax import builders
from buresgan_jax.training import devices

WORKS = ("cifar", "stl10", "ring")  # configs
SIMULATED = (2, 4, 8)  # numbers of devices
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")

_COLLECTIVE = re.compile(
    rf"= (?P<types>.+?) (?P<kind>{'|'.join(KINDS)})(?:-start)?\((?P<operands>[^)]*)\)(?P<attributes>.*)"
)
_ARRAY = re.compile(r"\b([a-z]+)(\d+)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One array that is communicated."""

    kind: str
    shape: tuple[int, ...]
    size: int  # bytes of the operand of a reduction, of the result of a gather
    name: str  # of the operation in the traced program


# The program


def lower(config, num_devices):
    """The training step as `devices.over_devices` runs it, lowered for simulated devices."""
    algorithm, local = builders.algorithm(config, devices.AXIS), builders.algorithm(config)
    example = np.zeros(builders.describe(config).example_shape, np.float32)
    state = jax.eval_shape(local.init, jax.random.key(0), example)
    batch = devices.batch_like(local, model.PER_DEVICE, example.shape)
    batches = {
        name: jax.ShapeDtypeStruct((num_devices, 1, *leaf.shape), leaf.dtype) for name, leaf in batch._asdict().items()
    }
    run_steps = devices.make_run_steps(algorithm, lambda payload, key: (payload["examples"], payload["index"]), 1)
    run = devices.over_devices(run_steps, jax.devices()[:num_devices])
    tracker, stop = devices.make_tracker(local, state, batch), np.zeros(num_devices, np.int32)
    return run.lower(state, tracker, jax.random.key(0), batches, 1, stop)


def parse(hlo, num_devices):
    """All arrays that the collectives of an HLO text communicate, one list per collective; repeated ones once."""
    unique = {}
    for match in _COLLECTIVE.finditer(hlo):
        name = re.search(r'op_name="([^"]*)"', match["attributes"])
        factor = num_devices if match["kind"] == "reduce-scatter" else 1
        arrays = []
        for _, bits, dims in _ARRAY.findall(match["types"]):
            shape = tuple(int(dim) for dim in dims.split(",") if dim)
            size = factor * math.prod(shape) * int(bits) // 8
            arrays.append(Collective(match["kind"], shape, size, name[1] if name else ""))
        unique[match["kind"], match["operands"]] = arrays
    return list(unique.values())


def network_shapes(config):
    """Shapes of each network's parameters, counted; names of rows of a batch by their shape; the features' dim."""
    example = np.zeros(builders.describe(config).example_shape, np.float32)
    state = jax.eval_shape(builders.algorithm(config).init, jax.random.key(0), example)
    parameters = {
        name: collections.Counter(leaf.shape for leaf in jax.tree.leaves(getattr(state, name).params))
        for name in ("generator", "discriminator")
    }
    discriminator = builders.discriminator(config, None)
    init_with_output = functools.partial(discriminator.init_with_output, train=True)
    (outputs, features, _), _ = jax.eval_shape(init_with_output, jax.random.key(0), example[None])
    rows = {(config.latent.dim,): "z", example.shape: "real or fake examples"}
    return parameters, rows | {outputs.shape[1:]: "outputs", features.shape[1:]: "features"}, features.shape[1]


def attribute(config, arrays):
    """Bytes by `(cause, kind)`."""
    parameters, rows, _ = network_shapes(config)
    sizes = collections.Counter()
    for kind, shape, size, name in arrays:
        if "BatchNorm" in name:
            cause = "batch norm: moments and their gradient"
        elif kind == "all-gather":
            cause = f"{rows[shape[1:]]}, fake and real"
        elif kind == "reduce-scatter":
            cause = f"gradient in the {rows[shape[1:]]}"
        elif not shape:
            cause = "metrics and stop flag"
        else:
            network = next(name for name, left in parameters.items() if left[shape])
            parameters[network][shape] -= 1
            cause = f"gradient of the {network}"
        sizes[cause, kind] += size
    if any(left.total() for left in parameters.values()):
        raise RuntimeError(f"Some parameters have no gradient in the program: {parameters}.")
    return sizes


def count(config, without_penalty):
    """Counts the communication and the work of a step, the work without that of the penalty."""
    by_devices = {}
    for num_devices in SIMULATED:
        lowered = lower(config, num_devices)
        arrays = sum(parse(lowered.as_text("hlo", debug_info=True), num_devices), [])
        by_devices[num_devices] = attribute(config, arrays)
    # How XLA compiles the arithmetic of the last one does not matter here.
    compiled = parse(lowered.compile({"xla_backend_optimization_level": 0}).as_text(), num_devices)
    check_sizes(arrays, sum(compiled, []))
    sizes = {key: {n: found[key] for n, found in by_devices.items()} for key in by_devices[num_devices]}
    launches = collections.Counter(arrays[0].kind for arrays in compiled)
    return model.Work(sizes, launches, network_flops(without_penalty), network_shapes(config)[2])


def network_flops(config):
    """FLOPs of a step on `model.PER_DEVICE` examples, by XLA's count of the program that is lowered for a GPU."""
    algorithm, shape = builders.algorithm(config), builders.describe(config).example_shape
    state = jax.eval_shape(algorithm.init, jax.random.key(0), np.zeros(shape, np.float32))
    batch = devices.batch_like(algorithm, model.PER_DEVICE, shape)
    traced = jax.jit(algorithm.update).trace(state, batch, jax.random.key(0))
    return traced.lower(lowering_platforms=("cuda",)).cost_analysis()["flops"]


def load(name, method):
    return importlib.import_module(f"configs.{name}").get_config(method)


def check_sizes(lowered, compiled):
    """Raises an error if optimization removed or added communication."""
    totals = [collections.Counter(), collections.Counter()]
    for total, arrays in zip(totals, (lowered, compiled), strict=True):
        for array in arrays:
            total[array.kind] += array.size
    if totals[0] != totals[1]:
        raise RuntimeError(f"Bytes before optimization {totals[0]}, after it {totals[1]}.")


# The tables


def table(header, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def number(value):
    """Two significant digits without an exponent."""
    return f"{float(f'{value:.2g}'):,.10g}" if value >= 0.001 else "< 0.001"


def spread(function, *arguments, factor=1.0):
    """The smallest and the largest value over the assumed utilizations."""
    low, high = (number(factor * value) for value in sorted(function(*arguments, u) for u in model.UTILISATION))
    return low if low == high else f"{low} - {high}"


def byte_table(works):
    """What each device sends in one step, by cause."""
    header = ["config", "cause", "collective", *(f"MB, {n} devices" for n in model.DEVICES)]
    rows = []
    for name, work in works.items():
        total = dict.fromkeys(model.DEVICES, 0.0)
        for (cause, kind), sizes in work.sizes.items():
            parts = {n: model.sent(kind, model.size_at(sizes, n), n) / 1e6 for n in total}
            total = {n: total[n] + parts[n] for n in total}
            rows.append([name, cause, kind, *map(number, parts.values())])
        launches = ", ".join(f"{launches} {kind}" for kind, launches in sorted(work.launches.items()))
        rows.append([name, "**all**", launches, *(f"**{number(part)}**" for part in total.values())])
    return table(header, rows)


def penalty_table(works):
    """The penalty's time, on the first hardware, as a multiple of that of the networks on 64 examples."""
    batches, gpu = (64, 256, 512, 4096, 32768), model.HARDWARE[0]
    rows = []
    for name, work in works.items():
        flops = [model.penalty_flops(n, work.feature_dim) for n in batches]
        ratios = [n / gpu.float32_peak / (work.flops / gpu.peak) for n in flops]
        cells = [f"{number(n / 1e9)} ({number(ratio)} x)" for n, ratio in zip(flops, ratios, strict=True)]
        first = [name, str(work.feature_dim), number(work.flops / 1e9)]
        rows.append([*first, *cells, f"{model.break_even(work, gpu):,}"])
    return table(["config", "dim", "networks", *(f"{n:,} rows" for n in batches), "1 x at"], rows)


def seconds(part, *arguments):
    return getattr(model.predict(*arguments), part)


def efficiency_table(works):
    """Parts of a step and efficiency."""
    parts = model.Step._fields
    rows = []
    for hardware in model.HARDWARE:
        for name, work in works.items():
            for n in model.DEVICES:
                milliseconds = [spread(seconds, part, work, hardware, n, factor=1e3) for part in parts]
                efficiency = spread(model.efficiency, work, hardware, n, factor=100)
                rows.append([hardware.name, name, str(n), *milliseconds, efficiency])
    return table(["hardware", "config", "devices", *(f"{part}, ms" for part in parts), "efficiency, %"], rows)


def speed_up_table(works):
    """Speed-up at the paper's global batch, on the first hardware."""
    counts, gpu = (2, 4, 8), model.HARDWARE[0]
    rows = [[name, *(spread(model.speed_up, work, gpu, n) for n in counts)] for name, work in works.items()]
    return table(["config", *(f"{n} devices" for n in counts)], rows)


def variant_table(works):
    """Efficiency of other methods to compute the penalty, on the first hardware."""
    rows = []
    for name, work in works.items():
        for title, variant in model.VARIANTS.items():
            cells = []
            for n in model.DEVICES:
                efficiency = functools.partial(model.efficiency, variant=variant)
                cells.append(spread(efficiency, work, model.HARDWARE[0], n, factor=100))
            rows.append([name, title, *cells])
    return table(["config", "variant", *(f"%, {n} devices" for n in model.DEVICES)], rows)


def main():
    """Prints the tables, and puts them between the markers of a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", default=",".join(WORKS), help="configs, with commas between them")
    parser.add_argument("--update", type=pathlib.Path, help="file with markers such as <!-- bytes --> <!-- /bytes -->")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(SIMULATED))
    works = {name: count(load(name, "bures"), load(name, "gan")) for name in options.works.split(",")}
    tables = {
        "bytes": byte_table(works),
        "penalty": penalty_table(works),
        "efficiency": efficiency_table(works),
        "speed-up": speed_up_table(works),
        "variants": variant_table(works),
    }
    print("\n\n".join(tables.values()))
    if options.update:
        text = options.update.read_text()
        for name, rows in tables.items():
            text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", rf"\g<1>\n{rows}\n\n\g<2>", text, flags=re.S)
        options.update.write_text(text)


if __name__ == "__main__":
    main()
