"""Times the convolutions of the DCGANs on a CPU: plain `lax` against the forms of `buresgan_jax.ops`.

    taskset -c 0 python benchmarks/convolution.py              # one core: pieces of the CIFAR step, loop, layers
    python benchmarks/convolution.py --only layers             # all cores, the table of layers only

A layer's time is that of its value and both gradients. "swapped" says which of XLA's three convolutions (value,
gradient by x, gradient by the kernel) are compiled with `rhs_reversal`: XLA has swapped the operands because the window
has the larger area, and its CPU backend has no fast kernel for a reversed window. The second table shows that in a loop
gradients are slow even without a swap: XLA uses the layout of its fast kernels only in the entry computation. Layers of
stride 1 also gain from products of spectra. The report on XLA itself is docs/xla_convolution.md.
"""

import argparse
import functools
import statistics
import time
from unittest import mock

import jax
import jax.numpy as jnp
from jax import lax

from buresgan_jax.networks import dcgan_discriminator, dcgan_generator, layers
from buresgan_jax.ops import conv2d, conv_transpose2d
from buresgan_jax.runtime import process

lax_conv2d = functools.partial(conv2d, implementation="plain")
lax_conv_transpose2d = functools.partial(conv_transpose2d, implementation="plain")
_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_ODD = ((2, 2), (2, 2))
# (network, is transposed, size, channels in, channels out, stride, padding)
_LAYERS = [
    ("CIFAR generator", True, 8, 256, 128, 1, "SAME"),
    ("CIFAR generator", True, 8, 128, 64, 2, "SAME"),
    ("CIFAR generator", True, 16, 64, 3, 2, "SAME"),
    ("CIFAR discriminator", False, 32, 3, 64, 2, "SAME"),
    ("CIFAR discriminator", False, 16, 64, 128, 2, "SAME"),
    ("CIFAR discriminator", False, 8, 128, 256, 2, "SAME"),
    ("MNIST generator", True, 7, 256, 128, 1, "SAME"),
    ("MNIST generator", True, 7, 128, 64, 2, "SAME"),
    ("MNIST generator", True, 14, 64, 1, 2, "SAME"),
    ("MNIST discriminator", False, 28, 1, 64, 2, "SAME"),
    ("MNIST discriminator", False, 14, 64, 128, 2, "SAME"),
    ("MNIST discriminator", False, 7, 128, 256, 2, "SAME"),
    ("VEEGAN generator", True, 2, 512, 256, 2, "SAME"),
    ("VEEGAN generator", True, 4, 256, 128, 2, _ODD),
    ("VEEGAN discriminator", False, 4, 256, 512, 2, "SAME"),
    ("STL generator", True, 12, 256, 256, 1, "SAME"),
    ("STL generator", True, 12, 256, 128, 2, "SAME"),
    ("STL generator", True, 24, 128, 64, 2, "SAME"),
    ("STL generator", True, 48, 64, 3, 2, "SAME"),
    ("STL discriminator", False, 96, 3, 64, 2, "SAME"),
    ("STL discriminator", False, 48, 64, 128, 2, "SAME"),
    ("STL discriminator", False, 24, 128, 256, 2, "SAME"),
    ("STL discriminator", False, 12, 256, 512, 2, "SAME"),
]


def medians(functions, *, repeats, clock, max_seconds=20.0):
    """Median milliseconds of each function, all in turn so that a busy machine disturbs them alike."""
    for function in functions:
        jax.block_until_ready(function())
    times, start = [[] for _ in functions], time.perf_counter()
    while len(times[0]) < repeats and (len(times[0]) < 2 or time.perf_counter() - start < max_seconds):
        for function, seconds in zip(functions, times, strict=True):
            begin = clock()
            jax.block_until_ready(function())
            seconds.append(clock() - begin)
    return [1e3 * statistics.median(seconds) for seconds in times]


def value_and_gradients(function, x, kernel):
    y, pullback = jax.vjp(function, x, kernel)
    return y, *pullback(y)


def swapped(function, x, kernel):
    """Which of value, gradient by x and gradient by the kernel XLA compiles with a reversed window."""
    y = jax.eval_shape(function, x, kernel)
    parts = {
        "value": lambda x, kernel, y: function(x, kernel),
        "x": lambda x, kernel, y: jax.vjp(lambda x: function(x, kernel), x)[1](y)[0],
        "kernel": lambda x, kernel, y: jax.vjp(lambda kernel: function(x, kernel), kernel)[1](y)[0],
    }
    text = {name: jax.jit(part).lower(x, kernel, y).compile().as_text() for name, part in parts.items()}
    return "+".join(name for name in parts if "rhs_reversal" in text[name]) or "-"


def layer_table(batch, repeats, clock):
    print(
        f"\n{'layer, value and both gradients':50s}{'swapped by XLA':>18s}{'lax ms':>10s}{'ours ms':>10s}{'ratio':>8s}"
    )
    for network, transposed, size, old, new, stride, padding in _LAYERS:
        options = {"strides": (stride, stride), "padding": padding}
        naive = functools.partial(lax_conv_transpose2d if transposed else lax_conv2d, **options)
        ours = functools.partial(conv_transpose2d if transposed else conv2d, **options)
        x = jax.random.normal(jax.random.key(0), (batch, size, size, old))
        kernel = jax.random.normal(jax.random.key(1), (5, 5, old, new))
        compiled = [
            jax.jit(functools.partial(value_and_gradients, f)).lower(x, kernel).compile() for f in (naive, ours)
        ]
        slow, fast = medians([functools.partial(f, x, kernel) for f in compiled], repeats=repeats, clock=clock)
        name = f"{network}: {size}x{size}x{old} -> {new}, stride {stride}{' transposed' if transposed else ''}"
        print(f"{name:50s} {swapped(naive, x, kernel):>16s} {slow:9.1f} {fast:9.1f} {slow / fast:7.1f}", flush=True)


def loop_table(batch, repeats, clock):
    """The same work directly under jit, and as the body of a loop whose trip count is an argument (here 2)."""
    titles = "".join(f"{title:>10s}" for title in ("lax jit", "lax loop", "ours jit", "ours loop"))
    print(f"\n{'two rounds of value and both gradients, ms':50s}{titles}")
    for title, transposed, size, old, new, stride in [
        ("conv 16x16x64 -> 128, stride 2", False, 16, 64, 128, 2),
        ("conv 8x8x128 -> 256, stride 2", False, 8, 128, 256, 2),
        ("transposed 8x8x256 -> 128, stride 1", True, 8, 256, 128, 1),
        ("transposed 8x8x128 -> 64, stride 2", True, 8, 128, 64, 2),
    ]:
        calls = []
        for function in (lax_conv_transpose2d, conv_transpose2d) if transposed else (lax_conv2d, conv2d):
            function = functools.partial(function, strides=(stride, stride), padding="SAME")
            x = jax.random.normal(jax.random.key(0), (batch, size, size, old))
            kernel = jax.random.normal(jax.random.key(1), (5, 5, old, new))
            descend = functools.partial(_descend, function)
            direct = jax.jit(lambda *carry, descend=descend: descend(descend(carry)))
            loop = jax.jit(lambda n, *carry, descend=descend: lax.fori_loop(0, n, lambda _, c: descend(c), carry))
            calls += [functools.partial(direct, x, kernel), functools.partial(loop, jnp.int32(2), x, kernel)]
        times = "".join(f"{value:10.1f}" for value in medians(calls, repeats=repeats, clock=clock))
        print(f"{title:50s}{times}", flush=True)


def _descend(function, carry):
    _, by_x, by_kernel = value_and_gradients(function, *carry)
    return carry[0] - 1e-9 * by_x, carry[1] - 1e-9 * by_kernel


def pieces(batch):
    """Forward and backward passes of the CIFAR networks, as a BuresGAN step has them."""
    generator, discriminator = dcgan_generator(32, 3), dcgan_discriminator(32)
    z, images = jnp.ones((batch, 100)), jax.random.normal(jax.random.key(2), (batch, 32, 32, 3))
    g = jax.jit(functools.partial(generator.init, train=True))(jax.random.key(0), z)
    d = jax.jit(functools.partial(discriminator.init, train=True))(jax.random.key(1), images)

    def loss(network, params, variables, x):
        y, _ = network.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return sum(jnp.square(leaf).mean() for leaf in jax.tree.leaves(y))

    def fake_gradients(d, x):
        return jax.grad(functools.partial(loss, discriminator), argnums=(0, 2))(d["params"], d, x)

    def gradient_penalty(params, d, x):
        return jnp.square(jax.grad(functools.partial(loss, discriminator), argnums=2)(params, d, x)).sum()

    g_grad, d_grad = (jax.grad(functools.partial(loss, network)) for network in (generator, discriminator))
    return {
        "generator, forward only": (lambda g, z: generator.apply(g, z, train=False), g, z),
        "generator, forward and backward": (lambda g, z: g_grad(g["params"], g, z), g, z),
        "discriminator on real, forward and backward": (lambda d, x: d_grad(d["params"], d, x), d, images),
        "discriminator on fake, and gradient by images": (fake_gradients, d, images),
        "discriminator, gradient penalty": (lambda d, x: jax.grad(gradient_penalty)(d["params"], d, x), d, images),
    }


def piece_table(batch, repeats, clock):
    print(f"\n{f'CIFAR DCGAN, batch {batch}':50s}{'lax ms':>18s}{'ours ms':>10s}{'ratio':>8s}")
    for name in pieces(2):
        calls = []
        for convolution, transposed in ((lax_conv2d, lax_conv_transpose2d), (conv2d, conv_transpose2d)):
            function, *arguments = pieces(batch)[name]
            with mock.patch.multiple(layers, conv2d=convolution, conv_transpose2d=transposed):
                calls.append(functools.partial(jax.jit(function).lower(*arguments).compile(), *arguments))
        slow, fast = medians(calls, repeats=repeats, clock=clock)
        print(f"{name:50s} {slow:17.1f} {fast:9.1f} {slow / fast:7.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--clock", choices=list(_CLOCKS), default="wall", help="cpu: for one core of a busy machine")
    parser.add_argument("--only", choices=["layers", "loop", "pieces"])
    arguments = parser.parse_args()
    process.tune_for_cpu()
    print(f"jax {jax.__version__} on {jax.default_backend()}, batch {arguments.batch}")
    tables = {"pieces": piece_table, "loop": loop_table, "layers": layer_table}
    for name, table in tables.items():
        if arguments.only in (None, name):
            table(arguments.batch, arguments.repeats, _CLOCKS[arguments.clock])


if __name__ == "__main__":
    main()
