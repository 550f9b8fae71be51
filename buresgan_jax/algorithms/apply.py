"""How a network is applied in training: its collections, and its random numbers."""

from typing import Any

import jax

from buresgan_jax.algorithms.protocol import NetworkState

# Each use of a move's key is folded in beyond the counts that moves split and fold their keys into.
_USES = {
    name: 2**31 - 101 - number for number, name in enumerate(("generator", "discriminator", "show", "real", "fake"))
}


def network_key(key: jax.Array, use: str) -> jax.Array:
    """The key for one use of a move's key: `generator`, `discriminator`, `show`, `real` or `fake`."""
    return jax.random.fold_in(key, _USES[use])


def variables(network: NetworkState) -> dict[str, Any]:
    """A network as Flax variables."""
    return {"params": network.params, **network.collections}


def apply(module: Any, network: NetworkState, inputs: Any, *, key: jax.Array | None = None):
    """Applies a network in training.

    Args:
        module: Linen module, called `(inputs, *, train)`.
        network: Its parameters and collections.
        inputs: Its inputs.
        key: Serves every stream of random numbers that the module asks for with `make_rng`. A module that draws a
            number for each row should draw with `ops.normal_rows`, so that N devices draw what one would.

    Returns:
        The module's result, and its new collections.
    """
    rngs = None if key is None else {"params": key}
    result, changed = module.apply(variables(network), inputs, train=True, mutable=list(network.collections), rngs=rngs)
    return result, network.collections | dict(changed)


def chain(network: NetworkState, collections: dict[str, Any]) -> NetworkState:
    """The network for the next pass of the same move.

    Batch statistics go on from the pass before. All other collections are read-only within a move and advance once per
    move, so that all passes see one value.
    """
    moving = {name: value for name, value in collections.items() if name == "batch_stats"}
    return network.replace(collections=network.collections | moving)
