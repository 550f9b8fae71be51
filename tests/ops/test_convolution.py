"""Convolutions against NumPy loops in float64, against lax, and under JAX's transformations."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from buresgan_jax.ops import conv2d, conv_transpose2d

# Most of the time goes into compiling; without optimization that takes a tenth.
_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

# (function, size of the image, kernel, strides, padding): on CPU each direct and each rewritten part is met by one.
_CASES = {
    "no stride, large kernel": (conv2d, (6, 6), (5, 5), (1, 1), "SAME"),
    "all parts direct": (conv2d, (6, 6), (3, 3), (1, 1), "SAME"),
    "no stride, small image": (conv2d, (3, 4), (5, 4), (1, 1), "SAME"),
    "no stride, uneven padding": (conv2d, (5, 6), (4, 3), (1, 1), ((3, 0), (-1, -1))),
    "strided": (conv2d, (9, 8), (3, 3), (2, 2), "SAME"),
    "strided, small output": (conv2d, (8, 7), (5, 5), (2, 2), "SAME"),
    "strided, small image": (conv2d, (2, 2), (3, 3), (2, 2), "SAME"),
    "valid": (conv2d, (7, 6), (3, 2), (2, 1), "VALID"),
    "explicit padding": (conv2d, (2, 3), (2, 4), (1, 3), ((2, 1), (0, 3))),
    "negative padding": (conv2d, (8, 8), (2, 2), (2, 2), ((-1, 2), (1, -1))),
    "transposed, no stride": (conv_transpose2d, (5, 4), (5, 3), (1, 1), "SAME"),
    "transposed, strided": (conv_transpose2d, (6, 5), (5, 5), (2, 2), "SAME"),
    "transposed, small image": (conv_transpose2d, (2, 2), (3, 3), (2, 2), "SAME"),
    "transposed, to an odd size": (conv_transpose2d, (4, 4), (5, 5), (2, 2), ((2, 2), (2, 2))),
    "transposed, valid": (conv_transpose2d, (3, 4), (3, 2), (2, 3), "VALID"),
    "transposed, kernel below stride": (conv_transpose2d, (3, 4), (2, 1), (3, 2), "SAME"),
}
_all_cases = pytest.mark.parametrize("case", _CASES.values(), ids=_CASES.keys())
_REWRITTEN = ("strided, small output", "strided, small image", "transposed, strided", "transposed, small image")
_WITH_STRIDE = [name for name, case in _CASES.items() if case[3] != (1, 1)]
_WITH_PHASES = [name for name in _WITH_STRIDE if max(_CASES[name][3]) <= min(*_CASES[name][1], *_CASES[name][2])]
_WITH_SPECTRA = [name for name in _WITH_PHASES if _CASES[name][0] is conv_transpose2d]
_WITH_SPECTRA += [name for name in _CASES if name not in _WITH_STRIDE]
_FORMS = {
    "auto": _CASES,
    "direct": [name for name in _WITH_STRIDE if _CASES[name][0] is conv_transpose2d],  # others are so by "auto"
    "phases": _WITH_PHASES,
    "product": _CASES,
    "spectra": _WITH_SPECTRA,
}
_rewritten_cases = pytest.mark.parametrize("case", [_CASES[name] for name in _REWRITTEN], ids=_REWRITTEN)


def _arrays(case, *, batch=2, channels=(3, 4), seed=0, dtype=np.float32):
    _, size, window, _, _ = case
    random = np.random.default_rng(seed)
    x = random.normal(size=(batch, *size, channels[0])).astype(dtype)
    return x, random.normal(size=(*window, *channels)).astype(dtype)


def _worth_spectra():
    """On CPU with as many channels, the default choice."""
    return _arrays(_CASES["no stride, large kernel"], batch=16, channels=(64, 48))


def _function(case, implementation="auto"):
    function, _, _, strides, padding = case
    return functools.partial(function, strides=strides, padding=padding, implementation=implementation)


def _lax_function(case):
    function, _, _, strides, padding = case
    lax_function = lax.conv_general_dilated if function is conv2d else lax.conv_transpose
    return lambda x, kernel: lax_function(x, kernel, strides, padding, dimension_numbers=_DIMENSIONS)


def _tf_conv(x, kernel, stride):
    """TensorFlow's SAME convolution by its definition, in float64."""
    sizes = x.shape[1:3]
    new = [-(-n // stride) for n in sizes]
    before = [max((m - 1) * stride + k - n, 0) // 2 for n, m, k in zip(sizes, new, kernel.shape[:2], strict=True)]
    y = np.zeros((x.shape[0], *new, kernel.shape[-1]))
    for i, j, k, m in np.ndindex(*new, *kernel.shape[:2]):
        row, column = i * stride + k - before[0], j * stride + m - before[1]
        if 0 <= row < sizes[0] and 0 <= column < sizes[1]:
            y[:, i, j] += x[:, row, column] @ kernel[k, m]
    return y


def _tf_conv_transpose(x, kernel, stride):
    """TensorFlow's SAME transposed convolution, the adjoint of its convolution; kernel [h, w, out, in]."""
    sizes = [n * stride for n in x.shape[1:3]]
    before = [max(k - stride, 0) // 2 for k in kernel.shape[:2]]
    y = np.zeros((x.shape[0], *sizes, kernel.shape[2]))
    for i, j, k, m in np.ndindex(*x.shape[1:3], *kernel.shape[:2]):
        row, column = i * stride + k - before[0], j * stride + m - before[1]
        if 0 <= row < sizes[0] and 0 <= column < sizes[1]:
            y[:, row, column] += x[:, i, j] @ kernel[k, m].T
    return y


@pytest.mark.parametrize(("size", "stride"), [(28, 2), (14, 2), (7, 2), (4, 2), (8, 2), (7, 1), (9, 3)])
def test_conv2d_has_the_same_padding_of_tensorflow(size, stride, x64):
    x, kernel = _arrays((None, (size, size), (5, 5), None, None), dtype=np.float64)
    y = conv2d(jnp.asarray(x), jnp.asarray(kernel), strides=(stride, stride))
    np.testing.assert_allclose(y, _tf_conv(x, kernel, stride), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (7, 2), (14, 2), (2, 2), (8, 2), (3, 3)])
def test_conv_transpose2d_is_tensorflows_with_a_flipped_kernel(size, stride, x64):
    x, kernel = _arrays((None, (size, size), (5, 5), None, None), dtype=np.float64)
    y = conv_transpose2d(jnp.asarray(x), jnp.asarray(kernel), strides=(stride, stride))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    np.testing.assert_allclose(y, _tf_conv_transpose(x, flipped, stride), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "implementation"), [(name, form) for form, names in _FORMS.items() for name in names])
def test_values_and_derivatives_equal_those_of_lax(name, implementation):
    case = _CASES[name]
    x, kernel = _arrays(case, batch=4, channels=(8, 6))

    @functools.partial(_jit, static_argnums=0)
    def derivatives(function, x, kernel):
        def loss(x, kernel):
            return jnp.sin(function(x, kernel)).sum()

        def penalty(x, kernel):
            return jnp.square(jax.grad(loss)(x, kernel)).sum()

        forward = jax.jvp(function, (x, kernel), (jnp.cos(x), jnp.cos(kernel)))
        return *forward, *jax.grad(loss, (0, 1))(x, kernel), *jax.grad(penalty, (0, 1))(x, kernel)

    actual, expected = (
        derivatives(_function(case, implementation), x, kernel),
        derivatives(_lax_function(case), x, kernel),
    )
    names = ["value", "tangent", "gradient by x", "gradient by kernel", "second by x", "second by kernel"]
    for name, a, b in zip(names, actual, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max(), err_msg=name)


@_rewritten_cases
def test_gradients_equal_finite_differences(case, x64):
    x, kernel = _arrays(case, batch=1, channels=(2, 1), dtype=np.float64)
    function = jax.jit(lambda x, kernel: jnp.sin(_function(case)(x, kernel)).sum())
    check_grads(function, (x, kernel), order=1, modes=("rev",), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "implementation"),
    [*((_CASES[name], "auto") for name in _REWRITTEN), (_CASES["no stride, large kernel"], "spectra")],
)
def test_vmap_over_images_and_kernels_equals_a_loop(case, implementation):
    x, kernel = (np.stack([a, 2 * a, a - 1]) for a in _arrays(case))
    function = _function(case, implementation)
    function = jax.grad(lambda x, kernel, f=function: jnp.square(f(x, kernel)).mean(), argnums=(0, 1))
    batched, function = _jit(jax.vmap(function))(x, kernel), _jit(function)
    for i in range(3):
        for actual, expected in zip(batched, function(x[i], kernel[i]), strict=True):
            np.testing.assert_allclose(actual[i], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "implementation"),
    [("strided, small output", "auto"), ("transposed, strided", "auto"), ("no stride, large kernel", "spectra")],
)
def test_pmap_and_scan_give_the_same_gradients(name, implementation):
    case = _CASES[name]
    x, kernel = _arrays(case, batch=8)
    gradient = jax.grad(lambda kernel, x: jnp.square(_function(case, implementation)(x, kernel)).sum())
    expected = _jit(gradient)(kernel, x)
    chunks = x.reshape(4, 2, *x.shape[1:])
    parallel = jax.pmap(lambda k, x: lax.psum(gradient(k, x), "batch"), axis_name="batch", in_axes=(None, 0))
    sequential = _jit(lambda k, xs: lax.scan(lambda total, x: (total + gradient(k, x), None), 0 * k, xs)[0])
    for actual in (parallel(kernel, chunks)[0], sequential(kernel, chunks)):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_cpu_computes_small_images_by_spectra(function):
    x, kernel = _worth_spectra()
    gradient = jax.grad(lambda x, kernel: jnp.square(function(x, kernel)).sum(), (0, 1))
    assert _convolutions(gradient, x, kernel) == []
    assert len(_convolutions(gradient, x[:1], kernel)) == 3
    assert len(_convolutions(gradient, *(jnp.asarray(a, jnp.bfloat16) for a in (x, kernel)))) == 3


@pytest.mark.parametrize(("dtype", "num_convolutions"), [(np.float32, 0), (jnp.bfloat16, 1)])
def test_cpu_adds_up_few_channels_of_a_transposed_convolution(dtype, num_convolutions):
    """In half precision each sum would be rounded."""
    x, kernel = jnp.ones((2, 8, 8, 4), dtype), jnp.ones((5, 5, 4, 3), dtype)
    value = functools.partial(conv_transpose2d, strides=(2, 2))
    assert len(_convolutions(value, x, kernel)) == num_convolutions


def test_least_sizes():
    kernel = jnp.ones((1, 1, 2, 3))
    assert conv2d(jnp.ones((0, 1, 1, 2)), kernel).shape == (0, 1, 1, 3)
    for channels in (3, 16):
        new = conv_transpose2d(jnp.ones((0, 8, 8, 4)), jnp.ones((3, 3, 4, channels)), strides=(2, 2))
        assert new.shape == (0, 16, 16, channels)
    by_spectra = conv2d(jnp.ones((1, 1, 1, 2)), kernel, implementation="spectra")
    np.testing.assert_allclose(by_spectra, jnp.full((1, 1, 1, 3), 2.0))


@pytest.mark.parametrize("implementation", ["auto", "product", "spectra"])
@pytest.mark.parametrize(("function", "size", "cut"), [(conv2d, 3, 0), (conv2d, 5, -1), (conv_transpose2d, 3, -1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_no_new_pixel_is_no_error(function, size, cut, stride, implementation):
    x, kernel = jnp.ones((2, size, size, 16)), jnp.ones((5, 5, 16, 3))
    options = {"strides": (stride, stride), "padding": ((cut, cut), (cut, cut)), "implementation": implementation}
    y, pullback = jax.vjp(functools.partial(function, **options), x, kernel)
    assert y.shape == (2, 0, 0, 3)
    assert not any(np.any(gradient) for gradient in pullback(y))


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_export_with_any_batch_size(function, strides):
    x = jax.ShapeDtypeStruct((jax.export.symbolic_shape("batch")[0], 8, 8, 16), np.float32)
    kernel = np.ones((5, 5, 16, 16), np.float32)
    exported = jax.export.export(jax.jit(lambda x: function(x, kernel, strides=strides)), platforms=["cpu"])(x)
    images = _arrays((None, (8, 8), (1, 1), None, None), batch=3, channels=(16, 1))[0]
    np.testing.assert_allclose(exported.call(images), function(images, kernel, strides=strides), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("implementation", ["auto", "plain"])
@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
@pytest.mark.parametrize("platforms", [["tpu"], ["cuda"], ["tpu", "cuda"]])
@pytest.mark.parametrize("stride", [1, 2])
def test_tpu_and_gpu_get_lax_convolutions_only(function, platforms, stride, implementation):
    x, kernel = _worth_spectra()
    function = functools.partial(function, strides=(stride, stride), implementation=implementation)
    gradient = jax.grad(lambda x, kernel: jnp.square(function(x, kernel)).sum(), argnums=(0, 1))
    text = jax.export.export(jax.jit(gradient), platforms=platforms)(x, kernel).mlir_module()
    assert text.count("stablehlo.convolution") == 3 * len(platforms)
    assert "stablehlo.dot_general" not in text


@pytest.mark.parametrize("name", ["no stride, large kernel", "transposed, strided"])
def test_a_name_gives_its_form_on_every_platform(name):
    def operations(implementation):
        """Convolutions and products of value and gradients, on a CPU and on a TPU."""
        function = _function(_CASES[name], implementation)
        traced = jax.jit(jax.grad(lambda x, kernel: jnp.square(function(x, kernel)).sum(), (0, 1))).trace(*arrays)
        texts = [traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "tpu")]
        return [tuple(text.count(f"stablehlo.{kind}") for kind in ("convolution", "dot_general")) for text in texts]

    arrays = _arrays(_CASES[name])
    forms = {form: operations(form) for form in ("plain", "cpu", "direct", "product", "spectra")}
    assert all(on_cpu == on_tpu for on_cpu, on_tpu in forms.values())
    assert operations("auto") == [forms["cpu"][0], forms["plain"][0]]
    assert forms["plain"][0] == (3, 0)
    assert forms["direct"][0][0] > 0
    assert all(forms[form][0][0] == 0 < forms[form][0][1] for form in ("product", "spectra"))


def _convolutions(function, *arguments):
    """Layout, and whether the window is reversed, of each convolution that XLA compiles."""
    lines = _jit(function).lower(*arguments).compile().as_text().splitlines()
    lines = [line for line in lines if " convolution(" in line]
    return [(re.search(r"dim_labels=([\w>-]+)", line)[1], "rhs_reversal" in line) for line in lines]


@_all_cases
def test_cpu_compiles_fast_convolutions_only(case):
    """Also in loops and under a nested jit, where XLA does not transpose operands itself."""
    x, kernel = _arrays(case, batch=8, channels=(16, 16))
    gradient = jax.grad(lambda kernel, x: jnp.sin(_function(case)(x, kernel)).sum(), argnums=(0, 1))

    def descend(kernel, xs):
        return lax.scan(lambda kernel, x: (kernel - gradient(kernel, x)[0], gradient(kernel, x)[1]), kernel, xs)

    found = _convolutions(lambda kernel, x: jax.vjp(jax.jit(gradient), kernel, x)[0], kernel, x)
    found += _convolutions(descend, kernel, x[None])
    assert set(found) <= {("b01f_01io->b01f", False)}


@pytest.mark.parametrize("name", ["strided", "strided, small output"])
def test_cpu_compiles_fast_convolutions_for_gradient_penalties(name):
    x, kernel = _arrays(_CASES[name], batch=8, channels=(16, 16))
    gradient = jax.grad(lambda x, kernel: jnp.square(_function(_CASES[name])(x, kernel)).sum())
    found = _convolutions(jax.grad(lambda kernel: jnp.square(gradient(x, kernel)).sum()), kernel)
    assert set(found) <= {("b01f_01io->b01f", False)}


def test_slow_convolutions_of_plain_lax_are_still_there():
    """If this fails, XLA has learned, and this module may have become needless: see benchmarks/convolution.py."""
    case = _CASES["transposed, strided"]
    x, kernel = _arrays(case, batch=8, channels=(16, 16))
    gradient = jax.grad(lambda kernel, x: jnp.sin(_lax_function(case)(x, kernel)).sum())
    assert any(is_reversed for _, is_reversed in _convolutions(gradient, kernel, x))


def test_no_work_for_an_argument_that_is_not_differentiated():
    x, kernel = jnp.ones((8, 8, 8, 16)), jnp.ones((5, 5, 16, 16))
    gradient = jax.jit(jax.grad(lambda kernel, x: jnp.square(conv2d(x, kernel, strides=(2, 2))).sum()))
    text = gradient.lower(kernel, x).compile().as_text()
    assert text.count(" convolution(") == 2
    assert text.count(" dot(") == 0


@_rewritten_cases
def test_bfloat16_stays_bfloat16(case):
    x, kernel = (jnp.asarray(a, jnp.bfloat16) for a in _arrays(case))
    actual, expected = _function(case)(x, kernel), jax.jit(_lax_function(case))(x, kernel)
    assert actual.dtype == jnp.bfloat16
    np.testing.assert_allclose(actual.astype(np.float32), expected.astype(np.float32), rtol=0.05, atol=0.25)


@pytest.mark.parametrize("function", [conv2d, conv_transpose2d])
def test_errors_say_what_was_got(function):
    x, kernel = jnp.zeros((1, 8, 8, 3)), jnp.zeros((5, 5, 3, 4))
    with pytest.raises(ValueError, match=r"got shapes \(8, 8, 3\)"):
        function(x[0], kernel)
    with pytest.raises(ValueError, match=r"got shapes \(1, 8, 8, 2\)"):
        function(x[..., :2], kernel)
    with pytest.raises(TypeError, match="got float32 and bfloat16"):
        function(x, kernel.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match=r"two positive integers; got \(2,\)"):
        function(x, kernel, strides=(2,))
    with pytest.raises(ValueError, match="got 'REFLECT'"):
        function(x, kernel, padding="REFLECT")
    with pytest.raises(ValueError, match="got 'phase'. Did you mean 'phases'"):
        function(x, kernel, implementation="phase")


@pytest.mark.parametrize("name", _CASES)
def test_forms_that_do_not_exist_are_refused(name):
    x, kernel = _arrays(_CASES[name])
    for form, names in (("phases", _WITH_PHASES), ("spectra", _WITH_SPECTRA)):
        if name not in names:
            with pytest.raises(ValueError, match=r"need .*; got .*strides"):
                _function(_CASES[name], form)(x, kernel)
