"""Inference via optimization: how near a generator can come to given images."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from buresgan_jax.metrics import inputs


class Reconstruction(NamedTuple):
    """The best that was found for each target.

    Attributes:
        mean: over the targets, of the mean squared error per pixel and channel.
        errors: that of each target, float64 `[n]`.
        z: where it was found, `[n, latent_dim]`.
    """

    mean: float
    errors: np.ndarray
    z: np.ndarray


def inference_via_optimization(
    generate: Callable[[jax.Array], jax.Array],
    targets: ArrayLike,
    key: jax.Array,
    *,
    latent_dim: int,
    num_restarts: int = 25,
    num_iterations: int = 500,
    tolerance: float = 1e-6,
) -> Reconstruction:
    """Looks for the latent point whose image is nearest to each target, by L-BFGS from several random points.

    Args:
        generate: z `[n, latent_dim]` to images `[n, ...]`; a traceable function that treats each example by itself, so
            batch normalization by running statistics. Compiled once for one function object and shape of targets.
        targets: images, such as held-out reals, shape `[n, ...]`.
        key: of the starts, which are standard normal. Restart i of a target is the same whatever their number.
        latent_dim: dimension of z.
        num_restarts: starts per target; the best one counts.
        num_iterations: of L-BFGS at most, each with a line search of several evaluations.
        tolerance: a search ends once no entry of the gradient is larger.

    Raises:
        ValueError: no or not finite targets, options below 1, or a generator whose images have another shape.

    Note:
        Cost: several evaluations of the generator and its gradient per iteration, restart and target. All targets are
        searched at once, one restart after the other: for many targets call it in equal parts. In z the error has many
        local minima, so that it is an upper bound of the true distance, and only searches of equal length compare.

    References:
        Metz, Poole, Pfau, Sohl-Dickstein, "Unrolled generative adversarial networks", ICLR 2017.
        https://arxiv.org/abs/1611.02163. The BuresGAN authors' code (25 restarts, 500 iterations) returns z in the
        place of the gradient; this takes the gradient.
    """
    inputs.check_positive_integer(latent_dim=latent_dim, num_restarts=num_restarts, num_iterations=num_iterations)
    targets = np.asarray(targets, np.float32)
    inputs.check_num_samples("targets", len(targets), 1)
    inputs.check_finite("targets", targets)
    made = jax.eval_shape(generate, jax.ShapeDtypeStruct((len(targets), latent_dim), jnp.float32)).shape
    if made != targets.shape:
        raise ValueError(f"targets must have the shape of what the generator makes, {made}, got {targets.shape}.")
    errors, z = _best_of_restarts(
        jnp.asarray(targets), key, num_restarts, num_iterations, tolerance, generate=generate, latent_dim=latent_dim
    )
    errors = np.asarray(errors, np.float64)
    return Reconstruction(float(errors.mean()), errors, np.asarray(z))


@functools.partial(jax.jit, static_argnames=("generate", "latent_dim"))
def _best_of_restarts(targets, key, num_restarts, num_iterations, tolerance, *, generate, latent_dim):
    search = jax.vmap(_search(generate, num_iterations, tolerance))

    def restart(index, best):
        start = jax.random.normal(jax.random.fold_in(key, index), (len(targets), latent_dim))
        errors, z = search(start, targets)
        better = errors < best[0]  # an error that is not finite never is
        return jnp.where(better, errors, best[0]), jnp.where(better[:, None], z, best[1])

    worst = jnp.full(len(targets), jnp.inf), jnp.zeros((len(targets), latent_dim))
    return jax.lax.fori_loop(0, num_restarts, restart, worst)


def _search(generate, num_iterations, tolerance):
    """Minimizes the error of one target from one start."""
    optimizer = optax.lbfgs()

    def of_one(z, target):
        def error(z):
            return jnp.mean((generate(z[None])[0] - target) ** 2)

        def advance(carry):
            iteration, z, state, _ = carry
            value, gradient = optax.value_and_grad_from_state(error)(z, state=state)
            change, state = optimizer.update(gradient, state, z, value=value, grad=gradient, value_fn=error)
            return iteration + 1, optax.apply_updates(z, change), state, jnp.max(jnp.abs(gradient))

        def goes_on(carry):
            iteration, _, _, slope = carry
            return (iteration < num_iterations) & (slope > tolerance)

        z = jax.lax.while_loop(goes_on, advance, (0, z, optimizer.init(z), jnp.float32(jnp.inf)))[1]
        return error(z), z

    return of_one
