"""What cannot fit into memory is refused before it is allocated, naming the key."""

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from buresgan_jax import builders
from buresgan_jax.errors import UserError
from buresgan_jax.runtime import memory as machine
from buresgan_jax.training import devices, memory


def check(config):
    algorithm = builders.algorithm(config)
    memory.check_config(config, algorithm)
    shape = builders.describe(config).example_shape
    like = devices.state_like(algorithm, shape)
    memory.check_state(config, like)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("training.batch_size", 2**31 - 4, "the real and latent batches of an update"),
        ("latent.dim", 2**31 - 1, "the real and latent batches of an update"),
        ("generator.hidden", (2**31 - 1, 2**31 - 1), "the networks with Adam's moments and averages"),
        ("discriminator.output_dim", 2**31 - 1, "the networks with Adam's moments and averages"),
        ("data.num_examples", 2**31 - 1, "the examples and their order"),
        ("evaluation.num_samples", 10**7, "the samples of an evaluation"),
    ],
)
def test_a_size_beyond_memory_names_its_key_the_need_and_what_there_is(monkeypatch, key, value, what):
    monkeypatch.setattr(machine, "host_bytes", lambda: 2**26)
    config = helpers.make_config("bures", **{key.replace(".", "__"): value})
    with pytest.raises(UserError, match=rf"config.{key}=.* is too large: {what}.* need .* GiB, and there are"):
        check(config)


def test_samples_of_an_evaluation_need_one_array_and_a_batch(monkeypatch):
    config = helpers.make_config("gan", evaluation__num_samples=1000)
    monkeypatch.setattr(machine, "host_bytes", lambda: (1000 + 256) * 2 * 4)
    memory.check_evaluation(config)
    monkeypatch.setattr(machine, "host_bytes", lambda: (1000 + 256) * 2 * 4 - 1)
    with pytest.raises(UserError, match="config.evaluation.num_samples=1000 is too large"):
        memory.check_evaluation(config)


def test_a_run_on_images_without_metrics_draws_no_samples_to_evaluate(monkeypatch):
    monkeypatch.setattr(machine, "host_bytes", lambda: 1000)
    memory.check_evaluation(helpers.make_config("gan", "mnist"))
    with pytest.raises(UserError, match="config.evaluation.num_samples=.* is too large"):
        memory.check_evaluation(helpers.make_config("gan", "mnist", evaluation__metrics="frechet_distance"))


def test_networks_of_images_that_do_not_fit_name_their_filters(monkeypatch):
    monkeypatch.setattr(machine, "host_bytes", lambda: 4 * 2**30)
    with pytest.raises(UserError, match="config.generator.base_filters=10000000 is too large: the networks"):
        check(helpers.make_config("gan", "mnist", generator__base_filters=10**7))


def test_the_state_and_the_largest_array_of_a_step_must_fit_together(monkeypatch):
    config = helpers.make_config("gan")
    algorithm = builders.algorithm(config)
    like = devices.state_like(algorithm, (2,))
    state = sum(
        leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like) if leaf.dtype != jax.random.key(0).dtype
    )
    program = jax.make_jaxpr(jax.jit(lambda x: jnp.sum(jnp.outer(x, x))))(np.zeros(40, np.float32))
    array = 40 * 40 * 4 // jax.device_count()
    monkeypatch.setattr(devices, "device_bytes", lambda: state + array)
    memory.check_step(config, like, program)
    monkeypatch.setattr(devices, "device_bytes", lambda: state + array - 1)
    with pytest.raises(UserError, match="the networks and the largest array of a step need"):
        memory.check_step(config, like, program)


def test_the_unknown_memory_of_an_accelerator_refuses_nothing(monkeypatch):
    small = devices.data_memory()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")  # whose devices here have no memory_stats
    assert devices.device_bytes() is None
    assert devices.data_memory() == (small.default, None)
    memory.check_state(helpers.make_config("gan"), jax.ShapeDtypeStruct((2**50,), jnp.float32))


def test_calls_of_too_many_steps_are_refused():
    with pytest.raises(
        UserError, match="config.training.steps_per_call=2147483647 is too large: the batches of a call"
    ):
        devices.choose_steps_per_call(2**31 - 1, (2,), 2**20)


def test_a_container_has_less_memory_than_its_machine(monkeypatch, tmp_path):
    whole = machine.host_bytes()
    monkeypatch.setattr(machine, "_LIMIT", tmp_path / "memory.max")
    for text, expected in (("max\n", whole), ("1048576\n", 2**20), (f"{2 * whole}\n", whole)):
        (tmp_path / "memory.max").write_text(text)
        assert machine.host_bytes() == expected
