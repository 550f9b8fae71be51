"""Golden updates: the state of every method after one and three updates, in float64, and how they are recorded.

    PYTHONPATH=. python tests/golden/updates.py            # all methods
    PYTHONPATH=. python tests/golden/updates.py maem best  # these; the others stay as they are

A state is filled with numbers that follow from the names of its arrays, the batches likewise, so that nothing depends
on how a state is initialized, or on what a method prepares from the data. Noise is drawn in float64, the same whatever
the compiler rounds. `updates.json` keeps three numbers of each array: its mean, its root mean square, and its mean
weighted by cosines. Recorded on jax 0.10.2; of the methods that were there, when their arrays were equal bit for bit to
those of commit 0c54069, before the protocol had terms.
"""

import json
import pathlib
import sys
import zlib
from unittest import mock

import jax
import numpy as np

from buresgan_jax import builders, config, ops
from buresgan_jax.algorithms import Batch

FILE = pathlib.Path(__file__).parent / "updates.json"
BATCH = 8


def cases(*methods: str) -> list[tuple[str, str]]:
    """Methods, by default all, with the data that each is recorded on."""
    on_images = {method for method, each in config.METHODS.items() if each.on_images is not None}
    chosen = methods or config.METHODS
    return [(method, data) for method in chosen for data in ("ring", "mnist") if data == "ring" or method in on_images]


def config_of(method: str, data: str):
    """Tiny networks on the ring, or tiny DCGANs on images of 16x16."""
    tiny = config.default(f"{method},smoke")
    tiny.data.name = data
    if data != "ring":
        tiny.data.image_size, tiny.data.channels = 16, 1
        tiny.generator.name = tiny.discriminator.name = "dcgan"
    return config.finish(tiny)


def _numbers(name, shape):
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)


def _fill(path, leaf):
    name, leaf = jax.tree_util.keystr(path), np.asarray(leaf)
    name = name.replace(".collections['batch_stats']", ".batch_stats")  # as it was called when this was recorded
    if leaf.dtype.kind != "f":
        return leaf
    if ".opt_state" in name or "hyperparameters" in name:
        return leaf.astype(float)
    is_variance = "batch_stats" in name and "var" in name and ".ema" not in name
    if is_variance or (".latent" in name and leaf.ndim == 0):  # positive
        return 0.5 + np.abs(0.5 * _numbers(name, leaf.shape))
    return 0.5 * _numbers(name, leaf.shape)


def _draw(key, shape, **_):
    return jax.random.normal(key, shape, float)


@mock.patch.object(ops.random, "normal", _draw)  # for `normal_rows`
@mock.patch.object(ops, "normal", _draw)
def summaries(method: str, data: str) -> dict[str, list[float]]:
    """The three numbers of every array of the state after one and three updates, and the metrics."""
    tiny = config_of(method, data)
    algorithm, shape = builders.algorithm(tiny), builders.describe(tiny).example_shape
    prepared = jax.tree.map(
        lambda like: np.arange(like.size, dtype=like.dtype).reshape(like.shape), algorithm.prepared_like
    )
    state = jax.jit(algorithm.init)(jax.random.key(0), np.zeros(shape, np.float32), prepared)
    state = jax.tree_util.tree_map_with_path(_fill, jax.device_get(state))
    update = jax.jit(algorithm.update, compiler_options={"xla_backend_optimization_level": 0})  # compiled in less time
    found, per_update = {}, algorithm.batches_per_update
    for step in range(3):
        real = np.tanh(_numbers(f"real{step}", (per_update, BATCH, *shape)))
        index = np.arange(per_update * BATCH, dtype=np.int32).reshape(per_update, BATCH)
        state, metrics = update(state, Batch(real, index), jax.random.key(100 + step))
        if step != 1:
            for path, leaf in jax.tree_util.tree_leaves_with_path((state, metrics)):
                found[f"{step + 1}{jax.tree_util.keystr(path)}"] = _summary(np.asarray(leaf, float))
    return found


def _summary(array):
    weights = np.cos(np.arange(array.size)).reshape(array.shape)
    return [float(np.mean(array)), float(np.sqrt(np.mean(array**2))), float(np.mean(weights * array))]


def main():
    """Records the methods that the command line names, or all."""
    jax.config.update("jax_enable_x64", True)
    found = {f"{method} {data}": summaries(method, data) for method, data in cases(*sys.argv[1:])}
    kept = json.loads(FILE.read_text()) if sys.argv[1:] else {}
    FILE.write_text(json.dumps(kept | found) + "\n")


if __name__ == "__main__":
    main()
