"""The types that all algorithms share. `train.py` knows `Algorithm` and `GANState`, nothing else about a method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn
from flax import struct

from buresgan_jax.latents.base import Latent
from buresgan_jax.losses import AdversarialLoss

PyTree = Any


@struct.dataclass
class NetworkState:
    """One network in training: its parameters, moving statistics and optimizer state."""

    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree


@struct.dataclass
class GANState:
    """Everything that training needs to go on: one pytree of arrays, without keys and without hidden state.

    Attributes:
        step: updates done, int32 scalar.
        generator: the generator.
        discriminator: the discriminator.
        auxiliary: further networks of a method by name, such as an encoder.
        buffers: further arrays of a method by name, such as a replay buffer.
        ema: moving averages of the generator, `{"params": ..., "batch_stats": ...}`.
        latent: arrays of the latent distribution.
        hyperparameters: float32 scalars by name (learning rates, penalty weights). Traced, not closed over, so that
            `vmap` over the state trains a grid of them at once.
    """

    step: jax.Array
    generator: NetworkState
    discriminator: NetworkState
    auxiliary: dict[str, NetworkState]
    buffers: dict[str, PyTree]
    ema: dict[str, PyTree]
    latent: PyTree
    hyperparameters: dict[str, jax.Array]


class Algorithm(NamedTuple):
    """A method as pure functions.

    Attributes:
        init: `(key, example [...]) -> GANState`; the example is one item as the discriminator sees it.
        update: `(state, real [batches_per_update, batch, ...], key) -> (GANState, metrics)`, metrics a dict of scalars.
            Inside an axis, `batch` is this device's share of the global batch and `key` is the same on all devices.
        generate: `(state, z [n, latent_dim], *, ema) -> samples [n, ...]`, in inference mode.
        sample: `(state, key, n, *, ema) -> samples [n, ...]`, z drawn from the latent distribution.
        batches_per_update: real batches that one update consumes.
    """

    init: Callable[..., GANState]
    update: Callable[..., tuple[GANState, dict[str, jax.Array]]]
    generate: Callable[..., jax.Array]
    sample: Callable[..., jax.Array]
    batches_per_update: int = 1


class Optimizer(NamedTuple):
    """A gradient transformation without its learning rate, which is a traced entry of the state's hyperparameters.

    Attributes:
        transform: for example `optax.scale_by_adam(...)`.
        learning_rate: its initial value.
        schedule: `step -> factor` on the learning rate.
    """

    transform: optax.GradientTransformation
    learning_rate: float
    schedule: Callable[[jax.Array], jax.Array] = optax.constant_schedule(1.0)


class StepOutputs(NamedTuple):
    """One forward pass through both networks; every field has the batch as its first axis."""

    z: jax.Array
    real: jax.Array
    fake: jax.Array
    real_outputs: jax.Array
    fake_outputs: jax.Array
    real_features: jax.Array
    fake_features: jax.Array


class Step(NamedTuple):
    """What a penalty may look at.

    Attributes:
        outputs: of the *global* batch, equal on all devices.
        local: of this device's share; its mean over devices is taken with the gradients.
        generate: `z -> samples` in train mode; carries the gradient to the generator's parameters.
        discriminate: `x -> (outputs, features)` in train mode; carries the gradient to the discriminator's parameters.
        sample_latent: `key -> z`, this device's share of a fresh global draw.
        share: global batch `[global, ...] -> local [batch, ...]`, for random numbers drawn by global index.
    """

    outputs: StepOutputs
    local: StepOutputs
    generate: Callable[[jax.Array], jax.Array]
    discriminate: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    sample_latent: Callable[[jax.Array], jax.Array]
    share: Callable[[jax.Array], jax.Array]


class Penalty(NamedTuple):
    """A weighted term of the generator's or the discriminator's objective.

    Attributes:
        name: logged under this name; its weight is the hyperparameter `<name>_weight`.
        weight: initial value of that hyperparameter.
        function: `(Step, key) -> scalar`.
    """

    name: str
    weight: float
    function: Callable[[Step, jax.Array], jax.Array]


class Auxiliary(NamedTuple):
    """A further network of a method, initialized on samples; it lies in the state's `auxiliary` under its name.

    Attributes:
        name: its learning rate is the hyperparameter `<name>_learning_rate`.
        module: Linen module, called `(samples, *, train)`.
        optimizer: for its parameters.
    """

    name: str
    module: nn.Module
    optimizer: Optimizer


class Game(NamedTuple):
    """The fixed parts of a method.

    Attributes:
        generator: Linen module, `(z, *, train) -> samples`.
        discriminator: Linen module, `(x, *, train) -> (outputs, features)`.
        latent: distribution of z.
        loss: adversarial loss.
        generator_optimizer: for the generator.
        discriminator_optimizer: for the discriminator.
        generator_penalties: added to the generator's loss.
        discriminator_penalties: added to the discriminator's loss.
        auxiliary: further networks of the method.
        generator_objective_scale: factor on the generator's whole objective (1/2 in the authors' BuresGAN).
        ema_decay: of the moving averages of the generator, warmed up as `(1 + step) / (10 + step)`.
        axis_name: of the device axis, None on one device.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: Latent
    loss: AdversarialLoss
    generator_optimizer: Optimizer
    discriminator_optimizer: Optimizer
    generator_penalties: tuple[Penalty, ...] = ()
    discriminator_penalties: tuple[Penalty, ...] = ()
    auxiliary: tuple[Auxiliary, ...] = ()
    generator_objective_scale: float = 1.0
    ema_decay: float = 0.999
    axis_name: str | None = None
