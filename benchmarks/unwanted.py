"""The classifier of joined sets on changed images, on mixtures of two sets, and on images of no set.

    python -m buresgan_jax.train_classifier --data=cifar10,fashion_mnist --out=set_classifier.npz
    python benchmarks/unwanted.py --classifier=set_classifier.npz --data=cifar10,fashion_mnist
    python benchmarks/unwanted.py --classifier=set_classifier.npz --data=cifar10,fashion_mnist \
        --run runs/gan runs/bourgan --figure=sorted.png

Prints Markdown, the tables of docs/mode_metrics.md. The midpoints are those of an autoencoder of the two sets, half of
the way between a code of one and a code of the other: images like those of a generator that cannot leave the gap. Half
a minute on one core. With `--run` it draws samples of the raw generators of runs instead, sorted by what they are taken
for: the first set, the second, or unwanted.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import ndimage

import buresgan_jax
from buresgan_jax import data
from buresgan_jax.evaluation import pictures
from buresgan_jax.evaluation.classifier import Classifier, load_classifier
from buresgan_jax.evaluation.classifier_training import SIZE_OF_JOINED as _SIZE
from buresgan_jax.evaluation.classifier_training import network_of_sets

_CODE, _HIDDEN = 64, 512


def autoencoder(images: np.ndarray, *, num_steps: int) -> tuple[Callable, Callable]:
    """Trains two dense layers down to 64 numbers and two up again; returns the encoder and the decoder.

    Args:
        images: float32 in [-1, 1], `[n, height, width, channels]`.
        num_steps: Steps of Adam at batch 128.
    """
    flat = images.reshape(len(images), -1)
    widths = [(flat.shape[1], _HIDDEN), (_HIDDEN, _CODE), (_CODE, _HIDDEN), (_HIDDEN, flat.shape[1])]
    keys = jax.random.split(jax.random.key(0), len(widths))
    params = [jax.random.normal(key, shape) / shape[0] ** 0.5 for key, shape in zip(keys, widths, strict=True)]
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, num_steps))

    def encode(params, x):
        return jax.nn.relu(x @ params[0]) @ params[1]

    def decode(params, code):
        return jnp.tanh(jax.nn.relu(code @ params[2]) @ params[3])

    @jax.jit
    def update(params, state, x):
        gradients = jax.grad(lambda params: jnp.mean((decode(params, encode(params, x)) - x) ** 2))(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state

    state, random = optimizer.init(params), np.random.default_rng(0)
    for _ in range(num_steps):
        params, state = update(params, state, flat[random.integers(len(flat), size=128)])
    return (
        lambda images: np.asarray(encode(params, images.reshape(len(images), -1))),
        lambda codes: np.asarray(decode(params, codes)).reshape(-1, *images.shape[1:]),
    )


def changed(images: np.ndarray) -> dict[str, np.ndarray]:
    """Images of one set that are changed, but lie between no two sets, by name.

    Args:
        images: float32 in [-1, 1], `[n, height, width, channels]`.
    """
    random, half, shape = np.random.default_rng(1), len(images) // 2, (len(images), 1, 1, 3)
    return {
        "real": images,
        "blurred by 1 pixel": ndimage.gaussian_filter(images, (0, 1, 1, 0)),
        "blurred by 2 pixels": ndimage.gaussian_filter(images, (0, 2, 2, 0)),
        "blue times 0.8": (images + 1) * [1, 1, 0.8] - 1,
        "an offset per channel of 0.1": images + 0.1 * random.normal(size=shape),
        "gray": np.broadcast_to(images.mean(-1, keepdims=True), images.shape),
        "noise of 0.2": images + 0.2 * random.normal(size=images.shape),
        "average of two of the set": (images[:half] + images[half : 2 * half]) / 2,
        "upper half of one, lower of another": halves(images[:half], images[half : 2 * half], _SIZE // 2),
    }


def between(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Images between those of two sets, in pixels, by name.

    Args:
        first: float32 in [-1, 1], `[n, height, width, channels]`.
        second: As many of the other set.
    """
    rows, columns = np.mgrid[:_SIZE, :_SIZE][..., np.newaxis] - (_SIZE - 1) / 2
    parts = {
        "a diagonal cut": rows < columns,
        "a disk of radius 9 in the other": np.hypot(rows, columns) < 9,
        "single pixels in turn": (rows + columns) % 2 == 0,
    }
    shares = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
    return {
        **{f"blends, {share:.0%} of the second": (1 - share) * first + share * second for share in shares},
        "upper 10 rows of one, others of the other": halves(first, second, 10),
        **{name: np.where(part, first, second) for name, part in parts.items()},
    }


def halves(first: np.ndarray, second: np.ndarray, row: int) -> np.ndarray:
    """Takes the rows above a row from one image and the others from the other."""
    return np.concatenate([first[:, :row], second[:, row:]], axis=1)


def sorted_samples(samples: np.ndarray, labels: np.ndarray, *, num: int = 16) -> np.ndarray:
    """Arranges samples in three blocks, those of each label.

    Args:
        samples: In [-1, 1], `[n, height, width, channels]`.
        labels: 0, 1 or 2, `[n]`.
        num: The most samples of each block, in rows of eight; missing ones are white.

    Returns:
        uint8 picture, `[height, width, channels]`.
    """
    blocks = []
    for label in range(3):
        block = np.ones((num, *samples.shape[1:]), np.float32)
        chosen = samples[labels == label][:num]
        block[: len(chosen)] = chosen
        blocks.append(np.pad(pictures.image_grid(block, columns=8), ((0, 0), (0, 16), (0, 0)), constant_values=255))
    return np.concatenate(blocks, axis=1)


def main() -> None:
    """Prints the tables, or draws the samples of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classifier", required=True, help="the weights file")
    parser.add_argument("--data", required=True, help="two TFDS sets with a comma between them")
    parser.add_argument("--data_dir", help="folder of the prepared sets")
    parser.add_argument("--split", default="test", help="their split (default: %(default)s)")
    parser.add_argument("--num", type=int, default=2_000, help="images of each set (default: %(default)s)")
    parser.add_argument("--num_steps", type=int, default=2_000, help="steps of the autoencoder (default: %(default)s)")
    parser.add_argument("--run", nargs="+", help="workdirs of runs whose samples are drawn, below each other")
    parser.add_argument("--figure", default="sorted.png", help="the picture of --run (default: %(default)s)")
    flags = parser.parse_args()
    classifier = load_classifier(
        flags.classifier, flags.data, network=network_of_sets(2), image_shape=(_SIZE, _SIZE, 3), channels=3
    )
    if flags.run:
        rows = []
        for run in flags.run:
            samples = buresgan_jax.load_generator(run, ema=False).sample(1000, seed=0)
            rows.append(sorted_samples(samples, classifier.classify(samples)))
        pictures.save_png(flags.figure, np.concatenate(rows))
    else:
        print_tables(flags, classifier)


def print_tables(flags: argparse.Namespace, classifier: Classifier) -> None:
    """Prints the tables of real, changed and mixed images."""
    how = {"split": flags.split, "data_dir": flags.data_dir, "image_size": _SIZE, "channels": 3}
    source = data.joined(seed=0, sets=flags.data, num_per_set=5 * flags.num, **how)
    images = np.asarray(data.decode_images(source.fetch(np.arange(source.num_examples))))
    labels = source.labels(np.arange(source.num_examples))
    first, second = (images[labels == label] for label in (0, 1))
    encode, decode = autoencoder(np.concatenate([first[flags.num :], second[flags.num :]]), num_steps=flags.num_steps)
    first, second = first[: flags.num], second[: flags.num]

    def shares(images):
        labels = classifier.classify(np.clip(images, -1, 1))
        return np.bincount(labels, minlength=3) / len(labels)

    codes = encode(first), encode(second)
    print("| images of one set | of the first, unwanted | of the second, unwanted |")
    print("|---|---|---|")
    of_first, of_second = changed(first), changed(second)
    rows = {name: (of_first[name], of_second[name]) for name in of_first}
    for name, pair in {**rows, "from an autoencoder": tuple(map(decode, codes))}.items():
        print(f"| {name} | {shares(pair[0])[2]:.1%} | {shares(pair[1])[2]:.1%} |")
    uniform = np.random.default_rng(1).uniform
    others = {
        **between(first, second),
        "midpoints of an autoencoder's codes": decode((codes[0] + codes[1]) / 2),
        "one gray": np.broadcast_to(uniform(-1, 1, (len(first), 1, 1, 1)), first.shape),
        "noise alone": uniform(-1, 1, first.shape),
    }
    print("\n| images of no set | unwanted | taken for the first | for the second |")
    print("|---|---|---|---|")
    for name, images in others.items():
        found = shares(images)
        print(f"| {name} | {found[2]:.1%} | {found[0]:.1%} | {found[1]:.1%} |")


if __name__ == "__main__":
    main()
