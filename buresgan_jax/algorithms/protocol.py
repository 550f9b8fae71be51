"""The types that all algorithms share. The training loop knows `Algorithm` and `GANState`, nothing else of a method."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from buresgan_jax.latents import Latent, Preparation
from buresgan_jax.losses import AdversarialLoss
from buresgan_jax.penalties import Memory

PyTree = Any


class Batch(NamedTuple):
    """Real examples.

    Attributes:
        examples: Decoded examples, `[batch, ...]`.
        index: Their numbers in the data set, int32 `[batch]`.
    """

    examples: jax.Array
    index: jax.Array


@struct.dataclass
class NetworkState:
    """One network in training.

    Attributes:
        params: Its parameters.
        collections: Its other Flax collections by name, such as `batch_stats`.
        opt_state: Its optimizer's state.
    """

    params: PyTree
    collections: dict[str, PyTree]
    opt_state: PyTree


@struct.dataclass
class GANState:
    """Everything that training needs to go on: one pytree of arrays, without keys and without hidden state.

    Attributes:
        step: Updates done, int32 scalar.
        generator: The generator.
        discriminator: The discriminator.
        auxiliary: Further networks of a method by name, such as an encoder.
        buffers: Further arrays of a method by name, and what terms remember, such as a ring buffer of codes.
        ema: The averaged generator, as Flax variables `{"params": ..., "batch_stats": ...}`.
        latent: Arrays of the latent distribution.
        prepared: Arrays that `Algorithm.prepare` made before the first step, by name.
        hyperparameters: float32 scalars by name (learning rates, weights). They are traced, not closed over, so that
            `vmap` over the state trains a grid of them at once.
    """

    step: jax.Array
    generator: NetworkState
    discriminator: NetworkState
    auxiliary: dict[str, NetworkState]
    buffers: dict[str, PyTree]
    ema: dict[str, PyTree]
    latent: PyTree
    prepared: dict[str, PyTree]
    hyperparameters: dict[str, jax.Array]


class Algorithm(NamedTuple):
    """A method as pure functions.

    Attributes:
        init: `(key, example [...], prepared) -> GANState`; the example is one item of the data.
        update: `(state, batch, key) -> (GANState, metrics)`. The batch has an axis `[batches_per_update]` before its
            own; metrics are a dict of scalars. On several devices, the batch is this device's part of the global batch
            and the key is the same on all of them.
        generate: `(state, z [n, latent_dim], *, ema) -> samples [n, ...]`, in inference mode.
        sample: `(state, key, n, *, ema) -> samples [n, ...]`, with z drawn from the latent distribution.
        prepare: `(source, seed) -> prepared`, called once on the host before a new run's first step. The arrays are
            saved with the state, so that resuming and sampling need no data.
        prepared_like: Shapes and dtypes of what `prepare` returns, known without the data.
        latent: The distribution of z; its arrays are the state's `latent`.
        batches_per_update: Real batches that one update consumes.
        log_ratio: `(state, examples [n, ...]) -> log(p / q)`, the discriminator's estimate of the log ratio of the
            densities of data and samples, in inference mode; None if it makes none.
    """

    init: Callable[..., GANState]
    update: Callable[..., tuple[GANState, dict[str, jax.Array]]]
    generate: Callable[..., jax.Array]
    sample: Callable[..., jax.Array]
    prepare: Callable[[Any, int], dict[str, PyTree]]
    prepared_like: dict[str, PyTree]
    latent: Latent
    batches_per_update: int = 1
    log_ratio: Callable[..., jax.Array] | None = None


class Optimizer(NamedTuple):
    """A gradient transformation without its learning rate, which is a traced entry of the state's hyperparameters.

    Attributes:
        transform: For example `optax.scale_by_adam(...)`.
        learning_rate: Its initial value.
        schedule: `step -> factor` on the learning rate.
    """

    transform: optax.GradientTransformation
    learning_rate: float
    schedule: Callable[[jax.Array], jax.Array] = optax.constant_schedule(1.0)


class StepOutputs(NamedTuple):
    """One pass of a batch through both networks; every array has the batch as its first axis.

    Attributes:
        z: Latent samples.
        index: Numbers of the real examples in the data set.
        real: Real examples.
        fake: Generated samples.
        real_outputs: The discriminator's outputs on real examples.
        fake_outputs: Its outputs on fakes.
        real_features: Its features of real examples.
        fake_features: Its features of fakes.
        real_extra: Its further heads on real examples, by name.
        fake_extra: Its further heads on fakes, by name.
    """

    z: jax.Array
    index: jax.Array
    real: jax.Array
    fake: jax.Array
    real_outputs: jax.Array
    fake_outputs: jax.Array
    real_features: jax.Array
    fake_features: jax.Array
    real_extra: dict[str, jax.Array]
    fake_extra: dict[str, jax.Array]


class Step(NamedTuple):
    """What a term may look at.

    Attributes:
        outputs: The outputs on the *global* batch, equal on all devices.
        local: This device's part of them; its mean over devices is taken with the gradients.
        state: The state before the move, read-only: buffers, prepared arrays, auxiliary networks, hyperparameters.
        generate: `z -> samples` in train mode; carries the gradient to the generator's parameters.
        discriminate: `x -> (outputs, features, extra)` in train mode; carries the gradient to the discriminator's
            parameters and to x, through what the discriminator is shown.
        sample_latent: `key -> z`, this device's part of a fresh global draw.
        rows: `[global, ...] -> [batch, ...]`, this device's rows, for random numbers drawn for the global batch.
        gather: `[batch, ...] -> [global, ...]`, the rows of all devices, for terms that are not a mean over rows.
    """

    outputs: StepOutputs
    local: StepOutputs
    state: GANState
    generate: Callable[[jax.Array], jax.Array]
    discriminate: Callable[[jax.Array], tuple[jax.Array, jax.Array, dict[str, jax.Array]]]
    sample_latent: Callable[[jax.Array], jax.Array]
    rows: Callable[[jax.Array], jax.Array]
    gather: Callable[[Any], Any]


class Term(NamedTuple):
    """A weighted term of a player's objective; any number of them add up.

    Attributes:
        name: It is logged under this name; its weight is the hyperparameter `<name>_weight`.
        weight: Initial value of that hyperparameter.
        function: `(step, key) -> value`, or `-> (value, metrics)`.
        schedule: `step number -> factor` on the weight.
        hyperparameters: Initial values of further traced numbers of the term, by name.
        memory: What it keeps of earlier moves, in the state's `buffers` under its name. Default: nothing.
    """

    name: str
    weight: float
    function: Callable[[Step, jax.Array], Any]
    schedule: Callable[[jax.Array], jax.Array] = optax.constant_schedule(1.0)
    hyperparameters: Mapping[str, float] = {}
    memory: Memory | None = None


class Move(NamedTuple):
    """What a move of one or both players leaves behind.

    Attributes:
        state: The state after it.
        outputs: This device's outputs before it, for a buffer or another move to use without a second pass.
        metrics: Scalars by name.
    """

    state: GANState
    outputs: StepOutputs
    metrics: dict[str, jax.Array]


class Auxiliary(NamedTuple):
    """A further network of a method; it lies in the state's `auxiliary` under its name.

    Attributes:
        name: Its learning rate is the hyperparameter `<name>_learning_rate`.
        module: Linen module, called `(inputs, *, train)`.
        optimizer: For its parameters.
        example: `(z, samples) -> inputs` on which it is initialized. Default: samples.
    """

    name: str
    module: nn.Module
    optimizer: Optimizer
    example: Callable[[jax.Array, jax.Array], Any] = lambda z, x: x


def show_samples(z: jax.Array | None, x: jax.Array, key: jax.Array) -> jax.Array:
    """Shows the discriminator samples as they are."""
    del z, key
    return x


class Game(NamedTuple):
    """The fixed parts of a method.

    Attributes:
        generator: Linen module, `(z, *, train) -> samples`.
        discriminator: Linen module, `(inputs, *, train) -> (outputs, features, extra)`; `extra` holds further heads by
            name.
        latent: The distribution of z.
        loss: The adversarial loss.
        generator_optimizer: For the generator.
        discriminator_optimizer: For the discriminator.
        generator_terms: Added to the generator's loss.
        discriminator_terms: Added to the discriminator's loss.
        auxiliary: Further networks of the method.
        buffers: Initial arrays of the method's buffers by name, each a function `(state, key) -> arrays`.
        preparations: What is made of the data before the first step, by name.
        hyperparameters: Initial values of further traced numbers, by name.
        show: `(z, x, key) -> inputs`: what the discriminator is shown of samples, such as pairs or augmented images. z
            is None for real examples.
        pack: Neighboring samples that the discriminator sees at once, joined along the last axis (PacGAN).
        generator_objective_scale: Factor on the generator's whole objective (1/2 in the authors' BuresGAN).
        ema_decay: Decay of the averaged generator, warmed up as `(1 + step) / (10 + step)`; or a schedule
            `step -> decay`.
        axis_name: Name of the device axis; None on one device.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: Latent
    loss: AdversarialLoss
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    generator_terms: tuple[Term, ...] = ()
    discriminator_terms: tuple[Term, ...] = ()
    auxiliary: tuple[Auxiliary, ...] = ()
    buffers: Mapping[str, Callable[[GANState, jax.Array], PyTree]] = {}
    preparations: Mapping[str, Preparation] = {}
    hyperparameters: Mapping[str, float] = {}
    show: Callable[[jax.Array | None, jax.Array, jax.Array], Any] = show_samples
    pack: int = 1
    generator_objective_scale: float = 1.0
    ema_decay: float | Callable[[jax.Array], jax.Array] = 0.999
    axis_name: str | None = None


def join_packs(tree: Any, pack: int) -> Any:
    """Joins packs of neighboring rows along the last axis.

    Packs are formed within the rows at hand, in order, so that the parts of several devices, each a multiple of the
    pack, make the packs of the whole batch.

    Args:
        tree: Arrays `[batch, ..., last]`.
        pack: Samples in a pack.

    Returns:
        Arrays `[batch / pack, ..., pack * last]`.

    Raises:
        ValueError: The batch is not a multiple of the pack.

    References:
        Lin et al., "PacGAN: The Power of Two Samples in Generative Adversarial Networks", NeurIPS 2018.
        https://arxiv.org/abs/1712.04086.
    """

    def join(x):
        if x.shape[0] % pack:
            raise ValueError(f"A batch of {x.shape[0]} cannot be cut into packs of {pack}.")
        packs = jnp.moveaxis(x.reshape(-1, pack, *x.shape[1:]), 1, -2)
        return packs.reshape(*packs.shape[:-2], -1)

    return tree if pack == 1 else jax.tree.map(join, tree)
