"""Inference via optimization: the closest generated image to each given image."""

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
    """The best reconstruction of each target.

    Attributes:
        mean: Mean of `errors` over the targets.
        errors: Mean squared error of each target over its pixels and channels, float64 `[n]`.
        z: Latent point of each reconstruction, `[n, latent_dim]`.
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
    """Searches for the latent point with the image closest to each target, by L-BFGS from several random points.

    Args:
        generate: Traceable function from z `[n, latent_dim]` to images `[n, ...]`. It must treat each example
            separately, so batch norm must use moving statistics. It is compiled once per function object and shape of
            targets.
        targets: Images, such as held-out reals, shape `[n, ...]`.
        key: Key of the starting points, which are standard normal. Restart i of a target does not depend on
            `num_restarts`.
        latent_dim: Dimension of z.
        num_restarts: Number of starting points per target. The best result counts.
        num_iterations: The largest number of L-BFGS iterations, each with a line search of several evaluations.
        tolerance: A search ends when no entry of the gradient is larger than this.

    Raises:
        ValueError: There are no targets, a target is not finite, an option is below 1, or the generated images have
            another shape than the targets.

    Note:
        Cost: several evaluations of the generator and its gradient per iteration, restart and target. All targets are
        searched at once, one restart after the other: split many targets into equal batches and call it for each. The
        error has many local minima in z. So the result is an upper bound of the true distance, and only searches of
        equal length can be compared.

    References:
        Metz, Poole, Pfau, Sohl-Dickstein, "Unrolled generative adversarial networks", ICLR 2017.
        https://arxiv.org/abs/1611.02163. The BuresGAN authors' code (25 restarts, 500 iterations) returns z instead of
        the gradient to its optimizer; this code returns the gradient.
    """
    inputs.check_positive_integer(latent_dim=latent_dim, num_restarts=num_restarts, num_iterations=num_iterations)
    targets = np.asarray(targets, np.float32)
    inputs.check_num_samples("targets", len(targets), 1)
    inputs.check_finite("targets", targets)
    made = jax.eval_shape(generate, jax.ShapeDtypeStruct((len(targets), latent_dim), jnp.float32)).shape
    if made != targets.shape:
        raise ValueError(f"targets must have the shape of the generator's images, {made}, got {targets.shape}.")
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
        better = errors < best[0]  # False for NaN and infinity
        return jnp.where(better, errors, best[0]), jnp.where(better[:, None], z, best[1])

    worst = jnp.full(len(targets), jnp.inf), jnp.zeros((len(targets), latent_dim))
    return jax.lax.fori_loop(0, num_restarts, restart, worst)


def _search(generate, num_iterations, tolerance):
    """Returns a function that minimizes the error of one target from one starting point."""
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
