"""Random bits as a pure function of (seed, stream, counter): the basis of all random draws for data on the host.

Counters are hashed, not drawn one after the other: any process can compute any part of a stream in any order, and a
stream is the same under every NumPy version (methods of `numpy.random.Generator` may change between versions).
"""

import enum

import numpy as np

from buresgan_jax.errors import UserError


class Stream(enum.IntEnum):
    """The use of a stream of bits: different uses of one seed never see the same bits."""

    PERMUTATION = 1
    POINTS = 2
    STACKED_DIGITS = 3
    HELD_OUT = 4
    BLENDS = 5


def random_bits(counters: np.ndarray, *, seed: int, stream: Stream, part: int = 0, num_words: int = 1) -> np.ndarray:
    """Hashes counters to uniformly distributed 64-bit words.

    Args:
        counters: Integers, shape `[n]`.
        seed: The run's seed, at least 0.
        stream: The use of the bits.
        part: A further number that separates streams, such as the epoch.
        num_words: Number of words per counter.

    Returns:
        uint64, shape `[n, num_words]`; row i depends on `counters[i]` only.

    Raises:
        UserError: The seed is negative.
    """
    if seed < 0:
        raise UserError(f"seed {seed} is negative. Set a seed of at least 0.")
    # spawn_key, unlike a list of entropies, keeps (seed, stream, part) from running into one another.
    keys = np.random.SeedSequence(seed, spawn_key=(int(stream), part)).generate_state(num_words + 1, np.uint64)
    # Hashed twice, so that the streams of two keys are not shifted copies of one sequence.
    state = _mix(np.asarray(counters).astype(np.uint64) + keys[0])
    return _mix(state[:, np.newaxis] ^ keys[np.newaxis, 1:])


def _mix(words: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014); uint64 arithmetic wraps around."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
