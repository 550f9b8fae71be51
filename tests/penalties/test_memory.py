"""The ring buffer, against a queue in Python."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax.penalties import empty_ring, push, ring_memory


@pytest.mark.parametrize(("capacity", "sizes"), [(10, (3,)), (8, (8,)), (5, (7,)), (16, (1, 4, 9))])
def test_a_thousand_pushes_keep_the_last_rows_in_order(capacity, sizes):
    ring, queue, random = empty_ring(capacity, 2), collections.deque(maxlen=capacity), np.random.default_rng(0)
    step, pushed = jax.jit(push), 0
    for number in range(1000):
        rows = random.normal(size=(sizes[number % len(sizes)], 2)).astype(np.float32)
        ring = jax.device_get(step(ring, rows))
        queue.extend(rows)
        pushed += len(rows)
        assert ring.count == min(pushed, capacity) == len(queue)
        assert 0 <= ring.pointer < capacity
        if number % 50 == 0 or number < 10:
            start = ring.pointer - ring.count  # of the oldest row
            np.testing.assert_array_equal(np.roll(ring.rows, -start, axis=0)[: ring.count], queue)
            np.testing.assert_array_equal(np.roll(ring.rows, -start, axis=0)[ring.count :], 0)


def test_rows_of_a_buffer_have_no_gradient_and_buffers_stack():
    rings = jax.vmap(lambda key: push(empty_ring(4, 2), jax.random.normal(key, (3, 2))))(
        jax.random.split(jax.random.key(0))
    )
    assert rings.rows.shape == (2, 4, 2)
    np.testing.assert_array_equal(rings.count, 3)
    gradient = jax.grad(lambda rows: jnp.sum(push(empty_ring(4, 2), rows).rows ** 2))(jnp.ones((3, 2)))
    np.testing.assert_array_equal(gradient, 0)


def test_a_memory_begins_with_the_shape_of_what_it_keeps():
    memory = ring_memory(6, lambda outputs: outputs["codes"])
    ring = memory.empty({"codes": jax.ShapeDtypeStruct((2, 3), jnp.float32)})
    assert (ring.rows.shape, ring.rows.dtype, int(ring.count)) == ((6, 3), jnp.float32, 0)
    ring = memory.push(ring, {"codes": jnp.ones((4, 3))})
    np.testing.assert_array_equal(ring.rows[:, 0], [1, 1, 1, 1, 0, 0])
