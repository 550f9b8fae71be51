"""The project's calls that `steps.py` times: whole steps as in training, many seeds at once, and the parts of a step.

Functions that are timed take no arguments and return the arrays to wait for.
"""

import contextlib
import importlib
import itertools
import pathlib
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from buresgan_jax import builders, data
from buresgan_jax.algorithms import apply, moves
from buresgan_jax.errors import UserError
from buresgan_jax.training import devices

DTYPES = ("float32", "tf32", "bfloat16")  # of the networks' arithmetic
# Examples of the real data sets, for the stand-ins where one is not prepared.
_NUM_EXAMPLES = {"mnist": 60_000, "cifar10": 50_000, "stl10": 100_000}
_STAND_IN_BYTES = 2**28  # a larger stand-in repeats itself
_PLAIN_PLATFORM = ("cuda",)  # where the project's convolutions are the plain ones: their arithmetic is counted there


def make_config(name: str, method: str, batch_size: int, *, dtype: str = "float32", data_dir: str | None = None):
    """The config of a data set in `configs/` with one thing or another set; `dtype` is one of `DTYPES`."""
    config = importlib.import_module(f"configs.{name}").get_config(method)
    config.training.batch_size = batch_size * config.discriminator.pack  # as many rows of the discriminator
    config.generator.dtype = config.discriminator.dtype = "bfloat16" if dtype == "bfloat16" else "float32"
    config.data.data_dir = data_dir
    return config


def varied(config, field: str, value):
    """A copy of the config with one field, such as "bures.method", set."""
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({field: value})
    return config


def set_precision(dtype: str) -> None:
    """How a GPU multiplies float32: "tf32" rounds the factors to 10 bits, as JAX does by default; others do not."""
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if dtype == "tf32" else "float32")


def make_source(config) -> data.Source:
    """The config's data, or random pixels in the same number where they are not prepared."""
    with contextlib.suppress(UserError, ImportError):
        return builders.source(config)
    description = builders.describe(config)
    if description.digits:
        gray = _random_source(description.digits, (*description.example_shape[:2], 1))
        return data.stacked_source(gray, num_examples=config.data.num_examples, seed=config.seed)
    return _random_source(config.data.name, description.example_shape)


def _random_source(name, shape):
    num_examples = _NUM_EXAMPLES[name]
    kept = min(num_examples, _STAND_IN_BYTES // int(np.prod(shape)))
    images = np.random.default_rng(0).integers(0, 256, (kept, *shape), dtype=np.uint8)
    labels = partial(np.zeros_like, dtype=np.int64)
    return data.Source(
        f"random_{name}", num_examples, shape, lambda indices: images[indices % kept], data.decode_images, labels
    )


class Steps:
    """Calls of several training steps each, on the devices, as the training loop makes them.

    Attributes:
        per_call: Steps in one call.
        data: Source of the batches.
        resident: Function that runs a call on batches on the devices.
        streamed: Function that runs a call on the next batches of the input pipeline.
        host: Function that does only the host's work for a call: its batches, from the source to the devices.
    """

    def __init__(self, config):
        """Initializes the state; compiles nothing."""
        self._config = config
        self._algorithm, self._source = builders.algorithm(config, devices.axis()), make_source(config)
        self.per_call = _steps_per_call(config, self._algorithm, self._source)
        self.data = self._source.name
        self._layout = devices.Layout.create(config.training.batch_size)
        self._state, self._tracker = devices.on_local_devices(_initial(config))
        self._key = devices.on_local_devices(jax.random.key(1))
        decode = partial(data.decode_payload, self._source)
        self._run = devices.over_devices(devices.make_run_steps(self._algorithm, decode, self.per_call))
        self._calls, self._host_calls = self._plan(), self._plan()
        self._batches, self._stream = self._place(self._read(*next(self._calls))), None

    def _plan(self):
        return ((start, start + self.per_call) for start in itertools.count(0, self.per_call))

    def _read(self, start, stop):
        return self._layout.split(_read(self._config, self._algorithm, self._source, start, stop))

    def _place(self, batches):
        return devices.on_local_devices(batches, devices.AXIS)

    def _call(self, batches):
        stop = np.zeros(self._layout.local_devices, np.int32)
        self._state, self._tracker, done = self._run(
            self._state, self._tracker, self._key, batches, self.per_call, stop
        )
        return done

    def resident(self):
        """One call."""
        return self._call(self._batches)

    def bytes_accessed(self) -> float:
        """Bytes that all operations of one compiled step read and write."""
        stop = np.zeros(self._layout.local_devices, np.int32)
        lowered = self._run.lower(self._state, self._tracker, self._key, self._batches, self.per_call, stop)
        return lowered.compile().cost_analysis()["bytes accessed"]  # of a loop, XLA counts one step

    def decode_all(self):
        """Decodes every image, as the first pass of a run does. Later passes read them from memory."""
        for _ in data.ImageBatches(self._source, batch_size=4096):
            pass

    def host(self):
        """One call's batches."""
        return self._place(self._read(*next(self._host_calls)))

    def streamed(self):
        """One call."""
        if self._stream is None:
            self._stream = data.prefetch(self._read, self._calls, place=self._place)
        return self._call(next(self._stream)[2])

    def close(self):
        """Ends the reading ahead."""
        if self._stream is not None:
            self._stream.close()


def _initial_state(config, seed=0):
    """The state before the first step, for one device."""
    example = np.zeros(builders.describe(config).example_shape, np.float32)
    return jax.jit(builders.algorithm(config).init)(jax.random.key(seed), example)


def _initial(config, seed=0):
    """The state, and a tracker of zeros."""
    algorithm, state = builders.algorithm(config), _initial_state(config, seed)
    batch = devices.batch_like(algorithm, config.training.batch_size, builders.describe(config).example_shape)
    return state, devices.make_tracker(algorithm, state, batch)


def _read(config, algorithm, source, start, stop):
    size = config.training.batch_size
    sizes = {"batch_size": size, "batches_per_update": algorithm.batches_per_update, "rows": slice(0, size)}
    return data.read_steps(source, start, stop, seed=config.seed, **sizes)


def _steps_per_call(config, algorithm, source):
    """Returns the number of steps per call that training uses."""
    num_bytes = sum(leaf.nbytes for leaf in _read(config, algorithm, source, 0, 1).values())
    return devices.choose_steps_per_call(config.training.steps_per_call, source.example_shape, num_bytes)


def seeds_call(config, num_seeds: int) -> Callable[[], object]:
    """One call that advances several seeds, each on its own batches, by one `vmap`."""
    algorithm, source = builders.algorithm(config), make_source(config)
    per_call = _steps_per_call(config, algorithm, source)
    stack = partial(jax.tree.map, lambda *leaves: jnp.stack(leaves))
    carry = stack(*(_initial(config, seed) for seed in range(num_seeds)))
    keys = jax.random.split(jax.random.key(1), num_seeds)
    starts = range(0, num_seeds * per_call, per_call)
    batches = stack(*(_read(config, algorithm, source, start, start + per_call) for start in starts))
    run_steps = devices.make_run_steps(algorithm, partial(data.decode_payload, source), per_call)
    run = jax.jit(jax.vmap(run_steps, in_axes=(0, 0, 0, 0, None)), donate_argnums=(0, 1))

    def call():
        nonlocal carry
        *carry, done = run(*carry, keys, batches, per_call)
        return done

    return call


class Parts:
    """The parts of a step. `generator` and `discriminator` are `NetworkState`s."""

    def __init__(self, config):
        """Finds the shapes; computes nothing."""
        self._config, self._game = config, builders.game(config, None)
        self._is_alternating = config.algorithm.name == "alternating"
        self._state = jax.eval_shape(partial(_initial_state, config))
        self._images = jax.ShapeDtypeStruct(
            (config.training.batch_size, *builders.describe(config).example_shape), jnp.float32
        )
        self._z = jax.eval_shape(self._draw, self._state.latent, jax.random.key(0))
        self._scored = jax.eval_shape(self._score, self._state.discriminator, self._images)

    def _draw(self, latent, key):
        return self._game.latent.sample(latent, key, self._images.shape[0])

    def _generate(self, generator, z):
        return apply(self._game.generator, generator, z)[0]

    def _score(self, discriminator, x):
        return moves.discriminate(self._game, discriminator, None, x, jax.random.key(0))[0][:2]

    def _generator(self, generator, z, cotangents):
        """Forward, and the gradient by the parameters."""
        _, pullback = jax.vjp(lambda params: self._generate(generator.replace(params=params), z), generator.params)
        return pullback(cotangents)[0]

    def _by_params(self, discriminator, x, cotangents):
        _, pullback = jax.vjp(lambda params: self._score(discriminator.replace(params=params), x), discriminator.params)
        return pullback(cotangents)[0]

    def _by_input(self, discriminator, x, cotangents):
        return jax.vjp(partial(self._score, discriminator), x)[1](cotangents)

    def _discriminator(self, discriminator, real, fake, own, other):
        """Both forward passes, the discriminator's gradient of both, the generator's through the fakes."""
        _, pullback = jax.vjp(
            lambda params, x: self._score(discriminator.replace(params=params), x), discriminator.params, fake
        )
        return self._by_params(discriminator, real, own), pullback(own)[0], pullback(other)[1]

    def _penalty_pass(self, discriminator, real, fake, cotangents):
        """The alternating method's first move: a forward pass of the real batch, and back to the fakes."""
        return self._score(discriminator, real)[1], self._by_input(discriminator, fake, cotangents)

    def _penalty(self, fake, real):
        """Value and gradient by the fakes' features."""

        def value(fake):
            step = SimpleNamespace(outputs=SimpleNamespace(fake_features=fake, real_features=real))
            return sum(term.function(step, jax.random.key(0)) for term in self._game.generator_terms)

        return jax.value_and_grad(value)(fake)

    def _optimize(self, state, by_generator, by_discriminator):
        """Both optimizers and the moving averages."""
        for _ in range(1 + self._is_alternating):
            state = moves.step_generator(self._game, state, by_generator, state.generator.collections)
        state = moves.step_discriminator(self._game, state, by_discriminator, state.discriminator.collections)
        return moves.finish_step(self._game, state)

    def timed(self) -> dict[str, list[Callable[[], object]]]:
        """The calls of each part of a step, by its name, on random arrays."""
        state, generator_moves = _initial_state(self._config), 1 + self._is_alternating
        networks = state.generator, state.discriminator, state.latent
        generator, discriminator, latent = jax.tree.map(jnp.copy, networks)  # the state is donated
        shapes = (self._images, self._z, self._scored)
        images, z, scored = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(0), leaf.shape), shapes)
        optimize, generate = jax.jit(self._optimize, donate_argnums=0), jax.jit(self._generator)
        discriminate, penalize = jax.jit(self._discriminator), jax.jit(self._penalty)

        def optimize_in_place():
            nonlocal state
            state = optimize(state, generator.params, discriminator.params)
            return state

        shares = {
            "generator": [partial(generate, generator, z, images)] * generator_moves,
            "discriminator": [partial(discriminate, discriminator, images, images, scored, scored)],
            "penalty": [],
            "optimizers and averages": [optimize_in_place],
            "z and data": [partial(jax.jit(self._draw), latent, jax.random.key(0))] * generator_moves,
        }
        if self._is_alternating:
            penalty_pass = jax.jit(self._penalty_pass)
            shares["discriminator"].append(partial(penalty_pass, discriminator, images, images, scored))
        if self._game.generator_terms:
            shares["penalty"].append(partial(penalize, scored[1], scored[1][::-1]))
        if images.ndim == 4:
            pixels = np.zeros(images.shape, np.uint8)
            shares["z and data"] += [partial(jax.jit(data.decode_images), pixels)] * generator_moves
        return shares

    def gigaflops(self) -> float:
        """Arithmetic of a step of the plain networks, counted by XLA; without the decompositions."""
        generator = _count(self._generator, self._state.generator, self._z, self._images)
        forward = _count(self._score, self._state.discriminator, self._images)
        by_params = _count(self._by_params, self._state.discriminator, self._images, self._scored)
        by_input = _count(self._by_input, self._state.discriminator, self._images, self._scored)
        penalty = _count(self._penalty, self._scored[1], self._scored[1]) if self._game.generator_terms else 0
        # The fakes' forward pass serves both gradients.
        step = generator + 2 * by_params + by_input - forward + penalty
        return (step + (generator + forward + by_input) * self._is_alternating) / 1e9


def _count(function, *inputs):
    return jax.jit(function).trace(*inputs).lower(lowering_platforms=_PLAIN_PLATFORM).cost_analysis()["flops"]
