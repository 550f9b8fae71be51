"""Numbers that `benchmarks/scaling.py` reads from the program of a training step."""

import importlib
import pathlib
import sys

import jax
import jax.numpy as jnp
import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scaling():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), str(ROOT), *sys.path])
        module = importlib.import_module("scaling")
        patch.setattr(module, "SIMULATED", (2, 4))
        yield module


def test_the_collectives_of_a_step_are_found_and_attributed(scaling):
    config, without_penalty = (scaling.load("ring", f"{method},smoke") for method in ("bures", "gan"))
    work = scaling.count(config, without_penalty)  # raises if XLA drops or adds any
    rows, dim = 4 * scaling.model.PER_DEVICE, work.feature_dim
    generator = 4 * (4 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2)
    discriminator = 4 * (2 * 8 + 8 + 8 * 8 + 8 + 8 + 1)
    found = {key: sizes[4] for key, sizes in work.sizes.items()}
    assert found["gradient of the generator", "all-reduce"] == generator
    assert found["gradient of the discriminator", "all-reduce"] == discriminator
    assert found["features, fake and real", "all-gather"] == 2 * rows * dim * 4
    # Nobody looks at z and at the examples of the global batch, so they are not sent.
    assert {cause.split(",")[0] for cause, kind in found if kind == "all-gather"} == {"features", "outputs"}
    assert work.flops > 0


def test_batch_norm_is_told_from_gradients(scaling):
    config = scaling.load("cifar", "bures,smoke")
    arrays = sum(scaling.parse(scaling.lower(config, 2).as_text("hlo", debug_info=True), 2), [])
    sizes = scaling.attribute(config, arrays)
    # Two moments of every channel. Discriminator: forward for fake and real; back for real and, by each player, fake.
    generator, discriminator = 2 * (8 * 8 * 8 + 4 + 2), (2 + 3) * (4 + 8)
    assert sizes["batch norm: moments and their gradient", "all-reduce"] == 2 * (generator + discriminator) * 4


def test_parsing_reads_tuples_and_counts_repeated_collectives_once(scaling):
    hlo = """
      %a = (f32[2,3]{1,0}, bf16[4]{0}) all-reduce(%x, %y), to_apply=%add, metadata={op_name="f/psum"}
      %b = f32[8,1]{1,0} all-gather(%z), dimensions={0}
      %c = f32[8,1]{1,0} all-gather(%z), dimensions={0}
      %d = f32[2,1]{1,0} reduce-scatter(%w), dimensions={0}
      %e = f32[2,1]{1,0} add(%d, %d)
    """
    first, gather, scatter = scaling.parse(hlo, 4)
    assert [(array.shape, array.size, array.name) for array in first] == [((2, 3), 24, "f/psum"), ((4,), 8, "f/psum")]
    assert (gather[0].kind, gather[0].size) == ("all-gather", 32)
    assert (scatter[0].kind, scatter[0].size) == ("reduce-scatter", 32)


def test_lost_communication_is_an_error(scaling):
    array = scaling.Collective("all-gather", (8, 1), 32, "")
    scaling.check_sizes([array], [array])
    with pytest.raises(RuntimeError, match="Bytes before optimization"):
        scaling.check_sizes([array], [])
    with pytest.raises(RuntimeError, match="Not linear"):
        scaling.model.size_at({2: 4, 4: 16, 8: 64}, 512)
    assert scaling.model.size_at({2: 4, 4: 8, 8: 16}, 512) == 1024


def test_a_ring_sends_twice_for_a_sum(scaling):
    assert scaling.model.sent("all-reduce", 64, 4) == 96
    assert scaling.model.sent("all-gather", 64, 4) == 48


def test_flops_of_products_in_loops_are_multiplied(scaling):
    def function(x):
        return jax.lax.scan(lambda carry, _: (x.T @ (x @ carry), None), jnp.ones((3, 3)), None, length=5)[0]

    jaxpr = jax.make_jaxpr(function)(jnp.ones((4, 3))).jaxpr
    assert scaling.model.product_flops(jaxpr) == 5 * 2 * (2 * 4 * 3 * 3)
