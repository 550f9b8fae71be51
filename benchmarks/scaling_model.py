"""Predicts the time of a training step on several devices: the arithmetic behind `scaling.py` and docs/scaling.md.

All assumptions and published numbers are here. Nothing is measured.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from buresgan_jax import distances, penalties

PER_DEVICE = 64  # examples
DEVICES = (4, 8, 64, 512)  # with the paper's global batch first
UTILISATION = (0.05, 0.5)  # of the peak: assumed, lowest and highest
LATENCY = 5e-6  # seconds per collective and doubling of the number of devices: assumed
GLOBAL_BATCH = 256  # the paper's


class Hardware(NamedTuple):
    """Published speeds of one device: FLOP/s, and bytes/s that it can send in a ring."""

    name: str
    peak: float  # of convolutions and products at JAX's default precision
    float32_peak: float  # of the penalty's products, which are exact float32
    near: float  # in a ring within a node
    far: float  # in a ring over several nodes
    node: int  # devices in a node

    def bandwidth(self, num_devices):
        """Bytes/s that each of `num_devices` can send."""
        return self.near if num_devices <= self.node else self.far


class Work(NamedTuple):
    """Counts for one config with `PER_DEVICE` examples on each device."""

    sizes: dict[tuple[str, str], dict[int, int]]  # (cause, kind) -> number of simulated devices -> bytes
    launches: dict[str, int]  # collectives in the compiled program by kind
    flops: float  # per device and step, without the penalty
    feature_dim: int


HARDWARE = (
    # In a ring over several nodes, each of a node's eight GPUs sends an eighth of the data through its own 50 GB/s.
    Hardware("H100", 494.7e12, 66.9e12, near=450e9, far=8 * 50e9, node=8),
    # Exact float32 takes six bfloat16 passes. 1.1 PB/s of all-reduce in a pod of 4096.
    Hardware("TPU v4", 275e12, 275e12 / 6, near=1.1e15 / 4096, far=1.1e15 / 4096, node=4096),
)


# Communication


def size_at(by_devices, num_devices):
    """The line through the counts for the smallest and the largest number of devices. All others must lie on it."""
    first, *_, last = by_devices
    slope = (by_devices[last] - by_devices[first]) / (last - first)
    line = {n: round(by_devices[first] + slope * (n - first)) for n in (*by_devices, num_devices)}
    if any(line[n] != size for n, size in by_devices.items()):
        raise RuntimeError(f"Not linear in the number of devices: {by_devices}.")
    return line[num_devices]


def sent(kind, size, num_devices):
    """Bytes that each device sends, by a ring."""
    return (2 if kind == "all-reduce" else 1) * (num_devices - 1) / num_devices * size


# Arithmetic


def product_flops(jaxpr):
    """FLOPs of the matrix products and QR decompositions of a jaxpr; the body of a while loop counts once."""
    total = 0
    for equation in jaxpr.eqns:
        name, shapes = equation.primitive.name, [variable.aval.shape for variable in equation.invars]
        if name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            total += 2 * equation.outvars[0].aval.size * math.prod(shapes[0][axis] for axis in contracted)
        elif name == "qr":  # Householder reflections, then Q from them
            rows, columns = shapes[0]
            total += 2 * (2 * rows * columns**2 - 2 * columns**3 // 3)
        repeats = equation.params["length"] if name == "scan" else 1
        parts = [
            part for value in equation.params.values() for part in (value if isinstance(value, tuple) else [value])
        ]
        inner = [getattr(part, "jaxpr", part) for part in parts if isinstance(part, core.ClosedJaxpr | core.Jaxpr)]
        total += repeats * sum(map(product_flops, inner))
    return total


@functools.cache
def penalty_flops(rows, dim):
    """FLOPs of the penalty and its gradient, by matrix products, from features of `rows` examples."""
    features = jax.ShapeDtypeStruct((rows, dim), jnp.float32)
    penalty = functools.partial(penalties.bures_penalty, method="newton_schulz")
    return product_flops(jax.make_jaxpr(jax.value_and_grad(penalty))(features, features).jaxpr)


@functools.cache
def covariance_flops(rows, dim):
    """The same from covariances, to which this device contributes `rows` examples."""
    features = jax.ShapeDtypeStruct((rows, dim), jnp.float32)

    def penalty(fake, real):
        return distances.squared_bures_distance(fake.T @ fake, real.T @ real, method="newton_schulz")

    return product_flops(jax.make_jaxpr(jax.value_and_grad(penalty))(features, features).jaxpr)


class Variant(NamedTuple):
    """A way to compute the penalty on several devices.

    Attributes:
        slice: Whether each device takes its rows of the gradient, which all devices have, instead of a sum of equal
            gradients.
        max_samples: Number of rows in the penalty; None: all.
        select: Rows are selected "after" the gather (all features are gathered) or "before" it (only the selected).
        covariances: Whether `[dim, dim]` matrices are summed instead of gathering features.
        growth: Examples per device, as a multiple of `PER_DEVICE`.
    """

    slice: bool = False
    max_samples: int | None = None
    select: str = "after"
    covariances: bool = False
    growth: float = 1.0


AS_IT_IS = Variant()
VARIANTS = {
    "as it is": AS_IT_IS,
    "(a) gradient of the gather by a slice": Variant(slice=True),
    "(b) covariances summed": Variant(slice=True, covariances=True),
    f"(c) `bures.max_samples={GLOBAL_BATCH}`": Variant(max_samples=GLOBAL_BATCH),
    "(d) (c) before the gather, and (a)": Variant(slice=True, max_samples=GLOBAL_BATCH, select="before"),
    f"(e) (d), {8 * PER_DEVICE} examples per device": Variant(True, GLOBAL_BATCH, "before", growth=8.0),
}


class Step(NamedTuple):
    """Seconds of the parts of a step."""

    networks: float
    penalty: float
    links: float
    latency: float


def predict(work, hardware, num_devices, utilization, variant=AS_IT_IS):
    """The parts of a step; no part is hidden behind another."""
    rows, dim = round(num_devices * PER_DEVICE * variant.growth), work.feature_dim
    looked_at = min(rows, variant.max_samples or rows)
    flops = covariance_flops(rows // num_devices, dim) if variant.covariances else penalty_flops(looked_at, dim)
    penalty = flops / (utilization * hardware.float32_peak)
    networks = variant.growth * work.flops / (utilization * hardware.peak)
    if num_devices == 1:
        return Step(networks, penalty, 0.0, 0.0)
    launches, size = dict(work.launches), 0.0
    for (cause, kind), by_devices in work.sizes.items():
        array = size_at(by_devices, num_devices)
        if variant.slice and kind == "reduce-scatter":
            launches[kind], array = 0, 0
        elif cause.startswith("features"):
            array *= variant.growth * (looked_at / rows if variant.select == "before" else 1)
            array = 0 if variant.covariances else array
        size += sent(kind, array, num_devices)
    if variant.covariances:
        size += sent("all-reduce", 2 * 4 * dim**2, num_devices)
    latency = sum(launches.values()) * LATENCY * math.log2(num_devices)
    return Step(networks, penalty, size / hardware.bandwidth(num_devices), latency)


def efficiency(work, hardware, num_devices, utilization, variant=AS_IT_IS):
    """Time of a step on one device, from features, divided by that on several with as many examples on each."""
    one = predict(work, hardware, 1, utilization, variant._replace(covariances=False))
    return sum(one) / sum(predict(work, hardware, num_devices, utilization, variant))


def speed_up(work, hardware, num_devices, utilization):
    """Time of a step with the global batch on one device, divided by that with its parts on several."""
    growth = GLOBAL_BATCH / PER_DEVICE
    one = predict(work, hardware, 1, utilization, Variant(growth=growth))
    return sum(one) / sum(predict(work, hardware, num_devices, utilization, Variant(growth=growth / num_devices)))


def break_even(work, hardware):
    """The number of rows in the global batch, a multiple of 64, at which the penalty takes as long as the networks."""
    rows = PER_DEVICE
    while penalty_flops(rows, work.feature_dim) / hardware.float32_peak < work.flops / hardware.peak:
        rows += PER_DEVICE
    return rows
