"""Compares the feature extractors with the networks of other packages: their differences and times.

    python benchmarks/extractors.py --cores=0                # packages: see metric_peers.py, all are needed
    python benchmarks/extractors.py --cores=0,1 --num-images=200 --output=docs/results/extractors.md
    python benchmarks/extractors.py --record                 # writes tests/golden, and nothing else

All weights are random, drawn by NumPy. Differences are relative to the largest activation of a layer, over all entries.
Times are for features and logits of uint8 images of 32 x 32 in batches of `--batch-size`. Each package resizes them to
299 x 299 itself and has one thread per core. Wall-clock seconds include the time that other programs use these cores;
processor seconds do not. A ratio above 1 means that ours is faster.
"""

import argparse
import datetime
import json
import pathlib
import sys
import time
import warnings

import extractor_peers
import jax
import numpy as np
import timing
import torch

from buresgan_jax.extractors import inception, inception_v3
from buresgan_jax.extractors.resize import find_resizer, resize
from buresgan_jax.runtime import process

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from golden import features as golden  # noqa: E402


def differences(size: int) -> list[str]:
    """Lines of a table: every activation of Inception-v3 against pytorch-fid, blocks by name, the units as one."""
    arrays = inception.random_state_dict(golden.SEED)
    images = np.random.default_rng(golden.SEED).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    peers = extractor_peers.pytorch_fid_activations(arrays, images)
    ours = golden.inception_activations(inception.params_from_state_dict(arrays), images)
    errors = {name: _difference(ours[name], peers[name]) for name in ours if name in peers}
    units = {name: error for name, error in errors.items() if "." in name}
    worst = max(units, key=units.get)
    lines = ["| activation | shape | largest difference, relative |", "|---|---|---|"]
    lines += [f"| {name} | {ours[name].shape} | {error:.1e} |" for name, error in errors.items() if "." not in name]
    return [*lines, f"| largest of {len(units)} within blocks: {worst} | {ours[worst].shape} | {units[worst]:.1e} |"]


def _difference(ours, peers):
    return float(np.max(abs(ours - peers)) / np.max(abs(peers)))


def resizing() -> list[str]:
    """Lines of a table: resized noise against the packages, in units of intensity."""
    lines = ["| resizer | from | to | largest difference, of 255 |", "|---|---|---|---|"]
    for name in ("legacy_tensorflow", "legacy_pytorch", "clean"):
        for height, width in ((32, 32), (64, 48), (512, 400), (299, 299)):
            images = golden.images(height, width)
            ours = resize(images.astype(np.float32), inception.SIZE, find_resizer(name))
            error = np.max(abs(ours - extractor_peers.resized(name, images, inception.SIZE)))
            lines.append(f"| {name} | {height} x {width} | {inception.SIZE} | {error:.1e} |")
    return lines


def speed(num_images: int, batch_size: int) -> list[str]:
    """Lines of a table: seconds per image of ours and of torch-fidelity, batches in turn."""
    random = np.random.default_rng(golden.SEED)
    images = random.integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    ours = inception_v3("random", seed=golden.SEED, batch_size=batch_size).function
    peer = extractor_peers.torch_fidelity_inception(inception.random_state_dict(golden.SEED))
    first = images[:batch_size]
    results = ours(first), peer(first)  # compiles
    errors = [
        _difference(results[0].features, results[1]["pool3"]),
        _difference(results[0].logits, results[1]["logits_unbiased"]),
    ]
    seconds = {"ours": [], "torch-fidelity": []}
    for start in range(0, num_images, batch_size):
        part = images[start : start + batch_size]
        for name, call in {"ours": ours, "torch-fidelity": peer}.items():
            begin = time.perf_counter(), time.process_time()
            call(part)
            seconds[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    totals = {name: np.sum(parts, 0) / num_images for name, parts in seconds.items()}
    lines = ["| seconds per image | ours | torch-fidelity | ratio |", "|---|---|---|---|"]
    for i, clock in enumerate(("on the clock", "of the processor")):
        own, other = totals["ours"][i], totals["torch-fidelity"][i]
        lines.append(f"| {clock} | {own:.3f} | {other:.3f} | {other / own:.2f} |")
    errors = ", ".join(f"{error:.1e}" for error in errors)
    return [*lines, "", f"Features and logits of the first batch differ by {errors}, relative to the largest."]


def record() -> None:
    """Writes the results of the packages on the inputs of tests/golden/features.py."""
    activations = extractor_peers.pytorch_fid_activations(
        inception.random_state_dict(golden.SEED), golden.inception_images()
    )
    unbiased = activations["logits"] - inception.random_state_dict(golden.SEED)["fc.bias"]
    names = [*golden.UNITS, *golden.BLOCKS, "pool3", "logits"]
    mobilenet = extractor_peers.torchvision_mobilenet_v2(golden.mobilenet_v2_state_dict(), golden.images())
    vgg = extractor_peers.torchvision_vgg16(golden.vgg16_arrays()["VGG16_0"], golden.images())
    for name in golden.STATE_DICTS:
        file = golden.FOLDER / f"state_dict_{name}.pth"
        extractor_peers.write_state_dict(golden.state_dict(), file, is_new=name == "new")
    content = {
        "origin": {
            "command": "python benchmarks/extractors.py --record",
            "date": str(datetime.date.today()),
            "packages": extractor_peers.versions(),
            "seed": golden.SEED,
        },
        "inception_v3": {name: golden.summary(activations[name]) for name in names}
        | {"logits_unbiased": golden.summary(unbiased)},
        "vgg16": {"features": golden.summary(vgg)},
        "mobilenet_v2": {name: golden.summary(array) for name, array in mobilenet.items()},
        "resized": {
            name: {
                case: golden.summary(extractor_peers.resized(name, golden.images(height, width), size))
                for case, (height, width, size) in golden.RESIZED.items()
            }
            for name in ("legacy_tensorflow", "legacy_pytorch", "clean")
        },
    }
    golden.FILE.write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", help="numbers of the cores to use, separated by commas; default: all")
    parser.add_argument("--num-images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=299, help="of the images of the first table")
    parser.add_argument("--only", choices=["differences", "resizing", "speed"])
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    cores = timing.pin([int(core) for core in options.cores.split(",")] if options.cores else None)
    torch.set_num_threads(len(cores))
    process.tune_for_cpu()
    if options.record:
        return record()
    packages = ", ".join(f"{name} {version}" for name, version in extractor_peers.versions().items())
    facts = {"Packages": packages, "Cores": ", ".join(map(str, cores))}
    lines = ["# Feature extractors beside other packages", "", *timing.header(facts, timing.speed())]
    tables = {
        "differences": ("Inception-v3 beside pytorch-fid, random weights", lambda: differences(options.size)),
        "resizing": ("Resizing", resizing),
        "speed": (
            f"Inception-v3 beside torch-fidelity, {options.num_images} images, batches of {options.batch_size}, "
            f"{len(cores)} threads",
            lambda: speed(options.num_images, options.batch_size),
        ),
    }
    for name, (title, table) in tables.items():
        if options.only in (None, name):
            lines += ["", f"## {title}", "", *table()]
            jax.clear_caches()
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
