import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import jax
import numpy as np
import pytest

from buresgan_jax.data import batch_indices, mixture_source, prefetch, read_steps, ring_mixture
from buresgan_jax.data.pipeline import _epochs
from buresgan_jax.data.source import memoized
from buresgan_jax.errors import UserError


def _batches(numbers, *, num_examples=10, seed=0, batch_size=3):
    return [
        batch_indices(num_examples, seed=seed, batch_size=batch_size, batch_number=number).tolist()
        for number in numbers
    ]


def test_epoch_covers_every_example_once():
    batches = _batches(range(5), num_examples=20, batch_size=4)
    assert sorted(sum(batches, [])) == list(range(20))


def test_remainder_of_an_epoch_is_dropped_and_the_next_is_permuted_anew():
    first, second = sum(_batches(range(3)), []), sum(_batches(range(3, 6)), [])
    assert len(set(first)) == len(set(second)) == 9
    assert first != second


def test_every_example_is_dropped_equally_often():
    dropped = [(set(range(10)) - set(sum(_batches(range(3 * e, 3 * e + 3)), []))).pop() for e in range(2000)]
    assert np.all(np.abs(np.bincount(dropped, minlength=10) - 200) < 60)


def test_batches_are_a_function_of_seed_and_number():
    expected = _batches(range(8))
    _epochs.cache_clear()
    assert _batches([7, 2]) == [expected[7], expected[2]]
    assert _batches(range(8), seed=1) != expected
    assert batch_indices(10, seed=0, batch_size=3, batch_number=0).dtype == np.int64


def test_endless_data_are_read_in_order():
    assert _batches([0, 2], num_examples=None) == [[0, 1, 2], [6, 7, 8]]


def test_permutation_is_made_once_per_epoch_of_each_of_many_seeds():
    _epochs.cache_clear()
    for number, seed in itertools.product(range(6), range(100)):  # in turn, as runs under one vmap
        _batches([number], seed=seed)
    assert {_epochs(10, seed).cache_info().misses for seed in range(100)} == {2}  # three batches in an epoch


def test_recorded_batches_never_change():
    """A resumed run must see the batches of the run before: recorded when this was written."""
    assert _batches([0, 4], seed=42) == [[9, 6, 3], [3, 9, 0]]


def test_batch_larger_than_the_data_is_refused():
    with pytest.raises(UserError, match=r"batch of 11 does not fit a data set of 10 .* at most 10"):
        _batches([0], batch_size=11)


def test_negative_seeds_and_numbers_are_refused():
    with pytest.raises(UserError, match="seed -1"):
        _batches([0], seed=-1)
    with pytest.raises(ValueError, match="batch_number >= 0"):
        _batches([-1])


def _numbers(num_examples):
    """A source whose examples are their own numbers."""
    source = mixture_source(ring_mixture(), name="numbers", num_examples=num_examples, seed=0)
    return source._replace(fetch=lambda indices: np.stack([indices, -indices], 1).astype(np.float32))


@pytest.mark.parametrize("num_examples", [50, None])
def test_read_steps_takes_consecutive_batches(num_examples):
    options = {"seed": 3, "batch_size": 8, "batches_per_update": 2}
    payload = read_steps(_numbers(num_examples), 4, 7, rows=slice(0, 8), **options)
    examples, index = payload["examples"], payload["index"]
    assert (examples.shape, index.dtype) == ((3, 2, 8, 2), np.int32)
    for update, batch in itertools.product(range(3), range(2)):
        number = 2 * (4 + update) + batch
        expected = batch_indices(num_examples, seed=3, batch_size=8, batch_number=number)
        np.testing.assert_array_equal(examples[update, batch, :, 0], expected)
        np.testing.assert_array_equal(index[update, batch], expected)


def test_numbers_of_an_endless_stream_wrap_around():
    source = _numbers(None)._replace(fetch=lambda indices: indices)._replace(example_shape=())
    payload = read_steps(source, 2**29, 2**29 + 1, seed=0, batch_size=4, batches_per_update=1, rows=slice(0, 4))
    np.testing.assert_array_equal(payload["examples"][0, 0], 2**31 + np.arange(4))
    np.testing.assert_array_equal(payload["index"][0, 0], -(2**31) + np.arange(4))


def test_rows_of_all_processes_are_the_global_batch():
    options = {"seed": 3, "batch_size": 8, "batches_per_update": 2}
    parts = [read_steps(_numbers(50), 1, 4, rows=rows, **options) for rows in (slice(0, 2), slice(2, 5), slice(5, 8))]
    whole = read_steps(_numbers(50), 1, 4, rows=slice(None), **options)
    for name in ("examples", "index"):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts], axis=2), whole[name])


def test_read_steps_of_nothing_is_empty():
    payload = read_steps(_numbers(50), 2, 2, seed=0, batch_size=8, batches_per_update=1, rows=slice(0, 4))
    assert (payload["examples"].shape, payload["index"].shape) == ((0, 1, 4, 2), (0, 1, 4))


def test_memoized_fetches_each_example_once():
    asked = []

    def fetch(indices):
        asked.extend(indices.tolist())
        return np.stack([indices, indices], 1).astype(np.uint8)

    remembered = memoized(fetch, num_examples=9, example_shape=(2,))
    for indices in ([3, 1, 3], [1, 2], [3]):
        np.testing.assert_array_equal(remembered(np.array(indices))[:, 0], indices)
    assert sorted(asked) == [1, 2, 3]


def _prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def _wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_prefetch_gives_all_results_in_order_on_the_device():
    plan = [(0, 3), (3, 5), (5, 6)]
    results = list(prefetch(lambda start, stop: np.arange(start, stop), plan, place=jax.device_put))
    assert [(start, stop) for start, stop, _ in results] == plan
    assert all(isinstance(value, jax.Array) for _, _, value in results)
    np.testing.assert_array_equal(np.concatenate([value for _, _, value in results]), np.arange(6))
    assert not _prefetch_threads()


def test_prefetch_reads_ahead_but_not_further_than_depth():
    asked = []
    results = prefetch(lambda start, stop: asked.append(start), itertools.pairwise(range(100)), place=id, depth=2)
    assert _wait_until(lambda: len(asked) == 3)  # two wait, one is finished and waits for room
    time.sleep(0.3)
    assert len(asked) == 3
    next(results)
    assert _wait_until(lambda: len(asked) == 4)
    results.close()


@pytest.mark.parametrize("where", ["read", "place", "plan"])
def test_prefetch_raises_errors_in_the_consumer(where):
    def fail_at(name, value):
        if where == name and value == 2:
            raise UserError("boom")
        return value

    plan = ((fail_at("plan", i), i + 1) for i in range(9))
    results = prefetch(lambda start, _: fail_at("read", start), plan, place=lambda value: fail_at("place", value))
    assert [next(results)[0] for _ in range(2)] == [0, 1]
    with pytest.raises(UserError, match="boom"):
        next(results)
    assert list(results) == []
    assert not _prefetch_threads()


def test_closing_prefetch_ends_its_thread():
    results = prefetch(lambda start, stop: start, itertools.pairwise(itertools.count()), place=id)
    next(results)
    results.close()
    results.close()
    assert not _prefetch_threads()
    assert list(results) == []


def test_dropping_prefetch_ends_its_thread():
    results = prefetch(lambda start, stop: start, itertools.pairwise(itertools.count()), place=id)
    next(results)
    del results
    gc.collect()
    assert _wait_until(lambda: not _prefetch_threads())


def test_prefetch_refuses_depth_zero():
    with pytest.raises(ValueError, match="depth >= 1, got 0"):
        prefetch(lambda start, stop: start, [(0, 1)], place=id, depth=0)


# A program that leaves its iterator open, ending in different ways while the background thread is busy.
_PROGRAM = """
    import itertools, signal, sys, time
    import jax, numpy as np
    from buresgan_jax.data import prefetch
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    def read(start, stop):
        time.sleep(0.01)
        return np.ones((64, 64))
    results = prefetch(read, itertools.pairwise(itertools.count()), place=jax.device_put)
    for _ in range(3):
        next(results)
    print("running", flush=True)
    {ending}
"""


def _start(ending):
    program = textwrap.dedent(_PROGRAM).format(ending=ending)
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [("pass", 0, ""), ("sys.exit(2)", 2, ""), ("raise ValueError('mine')", 1, "ValueError: mine")],
)
def test_open_prefetch_does_not_keep_a_program_from_ending(ending, status, error):
    process = _start(ending)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors.strip().endswith(error)
    assert error or not errors


def test_interrupted_program_ends_at_once():
    process = _start("while True: next(results)")
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert errors.strip().endswith("KeyboardInterrupt")
    assert time.monotonic() - started < 10
