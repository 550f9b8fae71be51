"""What the classifier of joined sets takes for unwanted: blends, mixtures that it has not seen, and bad images.

    python -m buresgan_jax.train_classifier --data=cifar10,fashion_mnist --out=set_classifier.npz
    python benchmarks/unwanted.py --classifier=set_classifier.npz --data=cifar10,fashion_mnist --split=test

Prints Markdown, the table of docs/mode_metrics.md. The midpoints are those of an autoencoder of the two sets, half of
the way between a code of one and a code of the other: images like those of a generator that cannot leave the gap. Half
a minute on one core.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import ndimage

from buresgan_jax import data
from buresgan_jax.evaluation.classifier import load_classifier
from buresgan_jax.evaluation.classifier_training import network_of_sets

_SIZE, _CODE, _HIDDEN = 32, 64, 512


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


def mixtures(first: np.ndarray, second: np.ndarray, encode: Callable, decode: Callable) -> dict[str, np.ndarray]:
    """Images of two sets and what lies between them or is bad, by name.

    Args:
        first: float32 in [-1, 1], `[n, height, width, channels]`.
        second: As many of the other set.
        encode: Images to codes.
        decode: Codes to images.
    """
    random, half = np.random.default_rng(1), _SIZE // 2
    halves = np.concatenate([first[:, :half], second[:, half:]], axis=1)
    sides = np.concatenate([first[:, :, :half], second[:, :, half:]], axis=2)
    blurred = np.concatenate([ndimage.gaussian_filter(each, (0, 2, 2, 0)) for each in (first, second)])
    flat = np.broadcast_to(random.uniform(-1, 1, (len(first), 1, 1, 1)), first.shape)
    codes = encode(first), encode(second)
    blends = {
        f"blends, {weight:.0%} of the other": (1 - weight) * first + weight * second for weight in (0.1, 0.2, 0.3, 0.5)
    }
    return {
        "real, first set": first,
        "real, second set": second,
        **blends,
        "upper half of one, lower of the other": halves,
        "left half of one, right of the other": sides,
        "autoencoder, first set": decode(codes[0]),
        "autoencoder, second set": decode(codes[1]),
        "autoencoder, midpoints": decode((codes[0] + codes[1]) / 2),
        "real, blurred by 2 pixels": blurred,
        "real, noise of 0.3": first + 0.3 * random.normal(size=first.shape),
        "one gray": flat,
        "noise alone": random.uniform(-1, 1, first.shape),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classifier", required=True, help="the weights file")
    parser.add_argument("--data", required=True, help="two TFDS sets with a comma between them")
    parser.add_argument("--data_dir", help="folder of the prepared sets")
    parser.add_argument("--split", default="test", help="their split (default: %(default)s)")
    parser.add_argument("--num", type=int, default=2_000, help="images of each set (default: %(default)s)")
    parser.add_argument("--num_steps", type=int, default=2_000, help="steps of the autoencoder (default: %(default)s)")
    flags = parser.parse_args()
    how = {"split": flags.split, "data_dir": flags.data_dir, "image_size": _SIZE, "channels": 3}
    source = data.joined(seed=0, sets=flags.data, num_per_set=5 * flags.num, **how)
    images = np.asarray(data.decode_images(source.fetch(np.arange(source.num_examples))))
    labels = source.labels(np.arange(source.num_examples))
    first, second = (images[labels == label] for label in (0, 1))
    encode, decode = autoencoder(np.concatenate([first[flags.num :], second[flags.num :]]), num_steps=flags.num_steps)
    shape = source.example_shape
    classifier = load_classifier(flags.classifier, flags.data, network=network_of_sets(2), image_shape=shape)
    print("| images | unwanted | first set | second set |")
    print("|---|---|---|---|")
    for name, mixture in mixtures(first[: flags.num], second[: flags.num], encode, decode).items():
        shares = np.bincount(classifier.classify(np.clip(mixture, -1, 1)), minlength=3) / len(mixture)
        print(f"| {name} | {shares[2]:.1%} | {shares[0]:.1%} | {shares[1]:.1%} |")


if __name__ == "__main__":
    main()
