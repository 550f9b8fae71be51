"""Gradients of convolutions that XLA compiles to unoptimized loops on a CPU: a minimal example, for openxla/xla.

Run it on one core: taskset -c 0 python benchmarks/xla_convolution.py
"""

import functools
import re
import statistics
import time
import timeit

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def input_gradient(kernel, y):  # of the 5x5 convolution of stride 2
    x = jnp.zeros((y.shape[0], 2 * y.shape[1], 2 * y.shape[2], kernel.shape[2]))
    return jax.vjp(lambda x: lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT), x)[1](y)[0]


def kernel_gradient(x, y):  # of the 5x5 transposed convolution of stride 2
    kernel = jnp.zeros((5, 5, x.shape[3], y.shape[3]))
    return jax.vjp(lambda k: lax.conv_transpose(x, k, (2, 2), "SAME", dimension_numbers=LAYOUT), kernel)[1](y)[0]


def swapped(x, y):  # the same, the operands swapped as XLA does, but with an ordinary window
    window = {"padding": ((1, 2), (1, 2)), "rhs_dilation": (2, 2), "dimension_numbers": ("CHWN", "IHWO", "HWNC")}
    return lax.conv_general_dilated(y, x, (1, 1), **window)[::-1, ::-1].swapaxes(2, 3)


def patches(x):  # [batch, height, width, channels] -> [batch, height / 2, width / 2, 25 * channels]
    height, width = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    return jnp.concatenate([x[:, i : i + height : 2, j : j + width : 2] for i, j in np.ndindex(5, 5)], axis=-1)


def input_product(kernel, y):
    x = jax.ShapeDtypeStruct((y.shape[0], 2 * y.shape[1], 2 * y.shape[2], kernel.shape[2]), y.dtype)
    return jax.linear_transpose(patches, x)(y @ kernel.reshape(-1, kernel.shape[3]).T)[0]


def kernel_product(x, y):
    products = patches(y).reshape(-1, 25 * y.shape[3]).T @ x.reshape(-1, x.shape[3])
    return products.reshape(5, 5, y.shape[3], x.shape[3])[::-1, ::-1].swapaxes(2, 3)


def in_loop(function, a, b, rounds):  # one round, but the compiler does not know the number
    start = jnp.zeros(jax.eval_shape(function, a, b).shape)
    return lax.fori_loop(0, rounds, lambda _, carry: function(a, b + 0 * carry[0, 0, 0, 0]), start)


def measure(function, *arguments, **compiler_options):
    compiled = jax.jit(function).lower(*arguments).compile(compiler_options=compiler_options)
    result = np.asarray(compiled(*arguments))
    seconds = timeit.repeat(lambda: jax.block_until_ready(compiled(*arguments)), timer=time.process_time, number=1)
    hlo = re.search(r" convolution\(.*?window=(\{.*?\}), (dim_labels=[^,\s]+)", compiled.as_text())
    return result, 1e3 * statistics.median(seconds), f"`{hlo[1]} {hlo[2]}`" if hlo else "matrix product"


if __name__ == "__main__":
    print(f"jax {jax.__version__}\n\n| gradient | by | CPU ms | / product | compiled as |\n|---|---|---|---|---|")
    for title, by_product, by_lax, a, b, *by_hand in [
        ("input, 8x8x128 -> 4x4x256", input_product, input_gradient, (5, 5, 128, 256), (64, 4, 4, 256)),
        ("kernel, 8x8x128 -> 16x16x64", kernel_product, kernel_gradient, (64, 8, 8, 128), (64, 16, 16, 64), swapped),
        ("input, 16x16x64 -> 8x8x128", input_product, input_gradient, (5, 5, 64, 128), (64, 8, 8, 128)),
    ]:
        a, b = (np.random.default_rng(0).normal(size=shape).astype(np.float32) for shape in (a, b))
        results = {"product": measure(by_product, a, b), "lax": measure(by_lax, a, b)}
        results["lax in a loop"] = measure(functools.partial(in_loop, by_lax), a, b, 1)
        results["lax without `algsimp`"] = measure(by_lax, a, b, xla_disable_hlo_passes="algsimp")
        results |= {f"lax, {function.__name__} by hand": measure(function, a, b) for function in by_hand}
        expected, fastest, _ = results["product"]
        for how, (result, ms, text) in results.items():
            np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
            print(f"| {title} | {how} | {ms:.1f} | {ms / fastest:.1f} | {text} |", flush=True)
