"""Metrics of points in the plane on generators that are each wrong in one way.

    python benchmarks/mode_metrics.py

Prints Markdown, the table of docs/mode_metrics.md: 40 seconds on one core.
"""

import argparse

import numpy as np

from buresgan_jax import metrics

STD = 0.01
_ANGLES = 2 * np.pi * np.arange(8) / 8
MEANS = 2.5 * np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1)


def draw(num: int, seed: int, *, std: float = STD, weights: np.ndarray | None = None) -> np.ndarray:
    """Points of the ring, `[num, 2]`, with another spread or other weights of the modes."""
    random = np.random.default_rng(seed)
    return MEANS[random.choice(8, size=num, p=weights)] + std * random.normal(size=(num, 2))


def with_bridges(num: int, seed: int, *, share: float) -> np.ndarray:
    """Points of the ring, a share of which lies on lines between neighboring modes."""
    points, random, few = draw(num, seed), np.random.default_rng([seed, 1]), int(share * num)
    first, place = random.integers(8, size=few), random.uniform(size=(few, 1))
    points[:few] = place * MEANS[first] + (1 - place) * MEANS[(first + 1) % 8]
    return points


def thin(num: int, seed: int) -> np.ndarray:
    """Points of the ring whose modes are lines, as long as the modes' variance asks."""
    random = np.random.default_rng(seed)
    return MEANS[random.integers(8, size=num)] + np.sqrt(2) * STD * random.normal(size=(num, 2)) * [1, 0]


def lumpy(num: int, seed: int) -> np.ndarray:
    """Points of the ring in 40 lumps in each mode; the modes' variance is right."""
    random = np.random.default_rng(seed)
    lumps = np.random.default_rng(0).normal(size=(8, 40, 2))
    lumps -= lumps.mean(1, keepdims=True)
    lumps *= np.sqrt(1 - 0.2**2) / lumps.std(axis=(1, 2), keepdims=True)
    mode, lump = random.integers(8, size=num), random.integers(40, size=num)
    return MEANS[mode] + STD * (lumps[mode, lump] + 0.2 * random.normal(size=(num, 2)))


def replayed(num: int, seed: int, *, num_different: int) -> np.ndarray:
    """A few true points that come again and again."""
    return draw(num_different, seed)[np.random.default_rng([seed, 1]).integers(num_different, size=num)]


GENERATORS = {
    "the data's law": draw,
    "eight points": lambda num, seed: draw(num, seed, std=0.0),
    "modes of half the width": lambda num, seed: draw(num, seed, std=STD / 2),
    "modes that are lines": thin,
    "40 lumps in each mode": lumpy,
    "15 % bridges": lambda num, seed: with_bridges(num, seed, share=0.15),
    "1 % bridges": lambda num, seed: with_bridges(num, seed, share=0.01),
    "weights 1 : 3": lambda num, seed: draw(num, seed, weights=np.array(4 * [2, 6]) / 32),
    "7 of 8 modes": lambda num, seed: draw(num, seed, weights=np.array([0, 1, 1, 1, 1, 1, 1, 1]) / 7),
    "100 replayed points": lambda num, seed: replayed(num, seed, num_different=100),
    "10,000 replayed points": lambda num, seed: replayed(num, seed, num_different=10_000),
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=2_500, help="points of each set")
    num = parser.parse_args().num
    reference = draw(num, 1)
    print(f"| {num} samples | modes | share near | reverse KL | spread inside | W1 | p-value of the test |")
    print("|---|---|---|---|---|---|---|")
    for name, generate in GENERATORS.items():
        samples = generate(num, 0)
        found = metrics.mode_statistics(samples, MEANS, STD)
        distance = metrics.sample_wasserstein(samples, reference)
        p_value = metrics.kernel_two_sample_test(samples, reference).p_value
        shown = (f"{found.high_quality_share:.3f}", f"{found.reverse_kl:.4f}", f"{found.mode_spread:.3f}")
        print(f"| {name} | {found.modes} | {' | '.join(shown)} | {distance:.3f} | {p_value:.3f} |", flush=True)


if __name__ == "__main__":
    main()
